// The usual server of Node: fastify takes an image and sharp makes its thumbnail, in as many processes as asked for.
//   node fastify.cjs PORT WORKERS
const cluster = require("node:cluster");

const [port, workers] = process.argv.slice(2).map(Number);

if (cluster.isPrimary) {
  for (let number = 0; number < workers; number++) cluster.fork();
} else {
  const fastify = require("fastify")({ bodyLimit: 100 << 20 });
  const sharp = require("sharp");
  // As many threads of libvips as this process has cores; and no input is met twice, so nothing is kept.
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
