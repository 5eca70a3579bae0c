// Runs the tests of a wasm-bindgen test binary, in workerd or in a page. The Rust side is crate `wasm-bindgen-test`, which calls the globals below.

/**
 * @param glue     the module that wasm-bindgen made of the binary
 * @param wasm     the instance's exports
 * @param tests    names of exports, each of them one test
 * @param filtered how many tests a filter left out
 * @param print    takes the report, line by line
 * @returns {Promise<boolean>} whether all passed
 */
export async function runTests(glue, wasm, { tests, filtered, print }) {
  globalThis.__wbg_test_invoke = (step) => step(); // a panic in it comes back as an exception
  globalThis.__wbg_test_output_writeln = print;
  for (const method of ["debug", "log", "info", "warn", "error"]) {
    // Kept by the Rust side, and shown for a test that fails.
    console[method] = (...args) => glue[`__wbgtest_console_${method}`](args);
  }
  const context = new glue.WasmBindgenTestContext(false);
  context.filtered_count(filtered);
  return context.run(tests.map((name) => wasm[name]));
}
