export default {
  // Its wasm module is resolved by wrangler, with the condition "workerd".
  serverExternalPackages: ["edge-session"],
};
