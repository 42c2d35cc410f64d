//! The compute worker's entry in a browser: see `app::compute`.

#[cfg(target_arch = "wasm32")]
fn main() {
    // Some crates below burn have constructors (`inventory`). If nobody calls them, the linker has every call from JavaScript,
    // each timer and each promise included, begin with all of them: half a millisecond each time.
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: made by the linker, without arguments, and called before anything else.
    unsafe { __wasm_call_ctors() };
    app::compute::web_worker::main();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("this program is the browser's compute worker; natively run `manyhands`");
}
