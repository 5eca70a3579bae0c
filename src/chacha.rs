//! XChaCha20-Poly1305: the crate's, or with a keystream of our own where that is faster.

#[cfg(any(test, all(target_arch = "wasm32", target_feature = "simd128")))]
mod vectors;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use chacha20poly1305::XChaCha20Poly1305;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use vectors::XChaCha20Poly1305;
