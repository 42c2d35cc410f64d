// The store for a page's script: post { id, op, args }, get { id, value } or { id, error }. `op` is "open", "bench", or what
// `Blocks` has. Everything else is Rust.
import init, { Blocks, bench_store } from "./worker.js";

const ready = init({ module_or_path: new URL("./worker_bg.wasm", import.meta.url) });
let blocks;

const calls = {
  open: async (kind, quota) => (blocks = await Blocks.open(kind, quota)).kind(),
  name: async (bytes) => Blocks.name(bytes),
  bench: bench_store,
};

const answer = async ({ data: { id, op, args } }) => {
  try {
    await ready;
    const value = await (calls[op] ? calls[op](...args) : blocks[op](...args));
    postMessage({ id, value });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
};

// The engine listens too once it runs; here it has nothing to do.
onmessage = answer;
ready.then(() => (onmessage = answer));
