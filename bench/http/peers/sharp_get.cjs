// An image server on Node: fastify reads a file of a folder and sharp renders it, in several processes.
//   node sharp_get.cjs PORT WORKERS FOLDER
const cluster = require("node:cluster");
const { readFile } = require("node:fs/promises");
const path = require("node:path");

const [port, workers] = process.argv.slice(2, 4).map(Number);
const folder = process.argv[4];

if (cluster.isPrimary) {
  for (let number = 0; number < workers; number++) cluster.fork();
} else {
  const fastify = require("fastify")();
  const sharp = require("sharp");
  // One libvips thread a process, and no cache: every request is rendered.
  sharp.concurrency(1);
  sharp.cache(false);
  fastify.get("/card/:name", async (request, reply) => {
    const image = await readFile(path.join(folder, path.basename(request.params.name)));
    const rendered = await sharp(image).rotate().resize(400, 400, { fit: "cover" }).jpeg({ quality: 80 }).toBuffer();
    return reply.type("image/jpeg").send(rendered);
  });
  fastify.listen({ port, host: "127.0.0.1" });
}
