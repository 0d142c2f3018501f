// @aws-sdk, version 3: puts, lists, reads and deletes what test_real_clients.py expects.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import * as sdk from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

const [endpoint, Bucket, file, Key, gone] = process.argv.slice(2);
const body = readFileSync(file);
const client = new sdk.S3Client({ endpoint, region: "us-east-1", forcePathStyle: true });

const upload = new Upload({ client, params: { Bucket, Key, Body: body, ContentType: "image/jpeg", Tagging: "a=1" } });
await upload.done();
await client.send(new sdk.PutObjectCommand({ Bucket, Key: gone, Body: "x" }));
const listed = await client.send(new sdk.ListObjectsV2Command({ Bucket }));
assert.deepEqual(listed.Contents.map((one) => one.Key).sort(), [Key, gone].sort());
const read = await client.send(new sdk.GetObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
assert.ok(body.equals(Buffer.from(await read.Body.transformToByteArray())));
const part = await client.send(new sdk.HeadObjectCommand({ Bucket, Key, PartNumber: 1 }));
assert.equal(part.PartsCount, 2);
const tags = await client.send(new sdk.GetObjectTaggingCommand({ Bucket, Key }));
assert.deepEqual(tags.TagSet, [{ Key: "a", Value: "1" }]);
await client.send(new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: gone }] } }));
