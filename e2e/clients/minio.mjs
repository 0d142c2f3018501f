// minio-js: puts, lists, reads and deletes what test_real_clients.py expects.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import * as minio from "minio";

const [endpoint, bucket, file, key, gone] = process.argv.slice(2);
const body = readFileSync(file);
const { hostname, port } = new URL(endpoint);
const client = new minio.Client({
  endPoint: hostname,
  port: Number(port),
  useSSL: false,
  accessKey: process.env.AWS_ACCESS_KEY_ID,
  secretKey: process.env.AWS_SECRET_ACCESS_KEY,
  partSize: 5 * 1024 * 1024,
});

const collected = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
};

await client.fPutObject(bucket, key, file, { "Content-Type": "image/jpeg" });
await client.putObject(bucket, gone, "x");
const listed = await collected(client.listObjectsV2(bucket, "", true));
assert.deepEqual(listed.map((one) => one.name).sort(), [key, gone].sort());
assert.ok(body.equals(Buffer.concat(await collected(await client.getObject(bucket, key)))));
await client.setObjectTagging(bucket, key, { a: "1" });
assert.deepEqual(await client.getObjectTagging(bucket, key), [{ Key: "a", Value: "1" }]);
const url = await client.presignedGetObject(bucket, key, 60);
assert.ok(body.equals(Buffer.from(await (await fetch(url)).arrayBuffer())));
await client.removeObjects(bucket, [gone]);
