// sharp, used as in its documentation. The argument is the folder it is installed in.
'use strict';

const fs = require('node:fs');
const readline = require('node:readline');
const sharp = require(require.resolve('sharp', { paths: [process.argv[2]] }));

// UV_THREADPOOL_SIZE=1 comes from outside.
sharp.concurrency(1);
sharp.cache(false);

async function render({ path, size, format, quality, output }) {
  const data = fs.readFileSync(path);
  const wall = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const small = sharp(data).autoOrient().resize(size, size, { fit: 'inside', withoutEnlargement: true });
  const encoded = format === 'png' ? small.png() : small.flatten({ background: '#ffffff' }).jpeg({ quality });
  const { data: thumbnail, info } = await encoded.toBuffer({ resolveWithObject: true });
  const used = process.cpuUsage(cpu);
  const passed = process.hrtime.bigint() - wall;
  if (output) fs.writeFileSync(output, thumbnail);
  return {
    cpu_us: used.user + used.system,
    wall_us: Number(passed) / 1000,
    width: info.width,
    height: info.height,
    bytes: thumbnail.length,
    error: null,
  };
}

function write(value) {
  fs.writeSync(1, JSON.stringify(value) + '\n');
}

async function main() {
  const { sharp: version, vips } = sharp.versions;
  write({ ready: `sharp ${version}, libvips ${vips}, node ${process.versions.node}` });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    write(await render(JSON.parse(line)).catch((error) => ({ error: error.message })));
  }
}

main();
