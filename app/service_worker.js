// Keeps the app for days without a network. What stands before this line is written by app/stamp.sh when the app is built:
// VERSION names this build, FILES says what it consists of, by SHA-256. So this script differs from build to build, which is how
// browsers find out that there is another one.
//
// The page itself comes from the network if that answers soon, so that people who meet have the same build. Everything that
// names its build (a hash in its name, or ?v=) comes from here if it is of this one, and from the network if it is of another:
// no page ever gets parts of two. Models, which lie in folders, all come from here. Files are kept by their hash, so that another
// build fetches only what it changed.

const KEPT = "app";
const BASE = new URL("./", self.location).pathname;
// How long people wait for a network that says nothing, in ms. Source: guess; a slow phone's round trip, three times.
const PATIENCE_MS = 2000;
// A hash between two signs in a file's name, as trunk puts it there; with a digit, for some words are hexadecimal.
const HASHED = /(^|[-_.])(?=[a-f]*\d)[0-9a-f]{8,32}([-_.][^/]*)?$/;

const place = (hash) => `${BASE}kept/${hash}`;

const digest = async (bytes) =>
  [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

async function keep(cache, name, hash) {
  if (await cache.match(place(hash))) return;
  // A whole model in the browser's own cache, compressed by the server, would be what is cut when a part of it is asked for.
  const answer = await fetch(BASE + name, { cache: name.includes("/") ? "no-store" : "no-cache" });
  if (!answer.ok) throw new Error(`${name}: status ${answer.status}`);
  const bytes = await answer.arrayBuffer();
  // The server may be in the middle of getting another build.
  if ((await digest(bytes)) !== hash) throw new Error(`${name} is of another build`);
  const type = answer.headers.get("Content-Type") ?? "application/octet-stream";
  await cache.put(place(hash), new Response(bytes, { headers: { "Content-Type": type } }));
}

async function install() {
  const cache = await caches.open(KEPT);
  for (const [name, hash] of Object.entries(FILES)) await keep(cache, name, hash);
}

async function forgetOthers() {
  const cache = await caches.open(KEPT);
  const wanted = new Set(Object.values(FILES).map(place));
  for (const request of await cache.keys()) {
    if (!wanted.has(new URL(request.url).pathname)) await cache.delete(request);
  }
}

async function kept(name, range) {
  const whole = await (await caches.open(KEPT)).match(place(FILES[name]));
  return whole && range ? part(whole, range) : whole;
}

// Models are read by ranges of bytes.
async function part(whole, range) {
  const bytes = await whole.blob();
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
  const start = Number(first);
  const end = last ? Math.min(Number(last) + 1, bytes.size) : bytes.size;
  if (!(start < end)) return new Response(null, { status: 416, headers: { "Content-Range": `bytes */${bytes.size}` } });
  return new Response(bytes.slice(start, end), {
    status: 206,
    headers: {
      "Content-Type": whole.headers.get("Content-Type"),
      "Content-Length": String(end - start),
      "Content-Range": `bytes ${start}-${end - 1}/${bytes.size}`,
    },
  });
}

async function fromNetwork(request, name, range) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(request, { signal: late.signal });
    // A proxy may answer for a server that is gone.
    return answer.status < 500 ? answer : ((await kept(name, range)) ?? answer);
  } catch (error) {
    const here = await kept(name, range);
    if (here) return here;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname, searchParams } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin || !pathname.startsWith(BASE)) return;
  const name = pathname.slice(BASE.length) || "index.html";
  if (!(name in FILES)) return;
  const build = searchParams.get("v");
  if (build !== null && build !== VERSION) return;
  const range = request.headers.get("Range");
  const certain = build !== null || HASHED.test(name) || name.includes("/");
  event.respondWith(certain ? kept(name, range).then((here) => here ?? fetch(request)) : fromNetwork(request, name, range));
});
