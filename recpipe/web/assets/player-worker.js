/**
 * Gives <audio> the ranges it asks for of a recording that the page opens. It has no key and keeps nothing: every piece
 * is asked of the page, over a channel of its own, at the moment it is wanted.
 */

const PLACE = "/recordings/opened/";
const PIECE = 256 * 1024;
const PATIENCE_MS = 60_000;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.origin === self.location.origin && url.pathname.startsWith(PLACE)) event.respondWith(answer(event, url));
});

async function answer(event, url) {
  const page = await self.clients.get(event.clientId);
  if (!page) return new Response(null, { status: 404 });
  const token = url.pathname.slice(PLACE.length);
  const facts = await ask(page, { token, what: "facts" });
  if (!facts.size) return new Response(null, { status: 404 });

  const range = /^bytes=(\d+)-(\d*)$/.exec(event.request.headers.get("range") ?? "");
  const start = range ? Number(range[1]) : 0;
  const end = Math.min(range?.[2] ? Number(range[2]) + 1 : facts.size, facts.size);
  if (start >= end) return new Response(null, { status: 416, headers: { "content-range": `bytes */${facts.size}` } });

  let at = start;
  let left = false; // by a reader who went on to another place
  const body = new ReadableStream({
    // Called when the player wants more, and no earlier: that is what keeps a seek cheap.
    async pull(stream) {
      const { piece } = await ask(page, { token, what: "piece", start: at, end: Math.min(at + PIECE, end) });
      if (left) return;
      if (!piece?.length) return stream.error(new Error("the page gave no more"));
      stream.enqueue(piece);
      at += piece.length;
      if (at >= end) stream.close();
    },
    cancel() {
      left = true;
    },
  }, { highWaterMark: 0 });
  const headers = { "accept-ranges": "bytes", "content-length": String(end - start), "content-type": facts.kind, "cache-control": "no-store" };
  if (range) headers["content-range"] = `bytes ${start}-${end - 1}/${facts.size}`;
  return new Response(body, { status: range ? 206 : 200, headers });
}

function ask(page, question) {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const timer = setTimeout(() => resolve({}), PATIENCE_MS);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      port1.close();
      resolve(data);
    };
    page.postMessage(question, [port2]);
  });
}
