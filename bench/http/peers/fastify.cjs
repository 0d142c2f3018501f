// A usual server on Node: fastify receives an image and sharp renders its thumbnail, in several processes.
//   node fastify.cjs PORT WORKERS
const cluster = require("node:cluster");

const [port, workers] = process.argv.slice(2).map(Number);

if (cluster.isPrimary) {
  for (let number = 0; number < workers; number++) cluster.fork();
} else {
  const fastify = require("fastify")({ bodyLimit: 100 << 20 });
  const sharp = require("sharp");
  // One libvips thread a process; inputs do not repeat, so the cache is off.
  sharp.concurrency(1);
  sharp.cache(false);
  fastify.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  fastify.post("/", async (request, reply) => {
    const thumbnail = await sharp(request.body)
      .rotate()
      .resize(128, 128, { fit: "inside", withoutEnlargement: true })
      .jpeg({ quality: 80 })
      .toBuffer();
    return reply.type("image/jpeg").send(thumbnail);
  });
  fastify.listen({ port, host: "127.0.0.1" });
}
