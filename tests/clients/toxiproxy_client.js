// toxiproxy-node-client against the admin API: ADMIN UPSTREAM.
"use strict";

const assert = require("assert");
const net = require("net");
const { Toxiproxy } = require("toxiproxy-node-client");

const [admin, upstream] = process.argv.slice(2);

/** How long a word takes there and back, in milliseconds. */
function echo(proxy) {
  const [host, port] = proxy.listen.split(":");
  return new Promise((resolve, reject) => {
    let begun = 0;
    let took;
    let got = "";
    const tcp = net.connect({ host, port: Number(port) }, () => tcp.write("x"));
    tcp.on("data", (piece) => {
      got += piece;
      if (got === "x") {
        begun = performance.now();
        tcp.write("word");
      } else if (got === "xword") {
        took = performance.now() - begun;
        // its end comes through, too: the next toxic finds nothing of this connection to work on
        tcp.end();
      }
    });
    tcp.on("error", reject);
    tcp.on("end", () => (took === undefined ? reject(new Error("ended after " + got)) : resolve(took)));
  });
}

async function refused(promise, ...codes) {
  const error = await promise.then(() => null, (error) => error);
  assert(error, "it was not refused");
  assert(codes.some((code) => error.code === code || error.message.includes(code)), String(error));
}

async function main() {
  const server = new Toxiproxy("http://" + admin);
  assert(JSON.parse(await server.getVersion()).version);
  assert.deepStrictEqual(await server.getAll(), {});
  console.log("no proxies at first");

  const proxy = await server.createProxy({ name: "redis", listen: "127.0.0.1:0", upstream });
  assert.strictEqual((await server.get("redis")).listen, proxy.listen);
  console.log("made and listed");

  await refused(server.createProxy({ name: "redis", listen: "127.0.0.1:0", upstream }), "409");
  console.log("twice: refused");

  await echo(proxy);
  console.log("echo");

  const toxic = await proxy.addToxic({ type: "latency", attributes: { latency: 100, jitter: 0 } });
  const took = await echo(proxy);
  assert(100 <= took && took < 5000, String(took));
  console.log("latency: 100 ms, once");

  const shown = await proxy.getToxic("latency_downstream");
  assert.deepStrictEqual([shown.type, shown.stream, shown.toxicity], ["latency", "downstream", 1]);
  assert.deepStrictEqual({ ...shown.attributes }, { latency: 100, jitter: 0 });
  console.log("toxic listed");

  const updated = await toxic.update({ ...toxic.toJson(), attributes: { latency: 0, jitter: 0 } });
  assert.strictEqual(updated.attributes.latency, 0);
  await toxic.remove();
  await echo(proxy);
  console.log("toxic gone: at once");

  await refused(proxy.addToxic({ type: "lantency", attributes: {} }), "400");
  console.log("unknown type: refused");

  await proxy.update({ enabled: false, listen: proxy.listen, upstream });
  await refused(echo(proxy), "ECONNREFUSED");
  await proxy.update({ enabled: true, listen: proxy.listen, upstream });
  await echo(proxy);
  console.log("down: refused; up: echo");

  await proxy.addToxic({ type: "reset_peer", attributes: { timeout: 0 } });
  await refused(echo(proxy), "ECONNRESET", "EPIPE");
  console.log("reset_peer: reset");

  await server.reset();
  await refused(proxy.getToxic("reset_peer_downstream"), "404");
  await echo(proxy);
  console.log("reset: no toxics");

  const listed = await server.populate([{ name: "redis", listen: proxy.listen, upstream }]);
  assert.strictEqual(listed.redis.listen, proxy.listen);
  await listed.redis.remove();
  assert.deepStrictEqual(await server.getAll(), {});
  console.log("deleted");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
