//! XChaCha20 four blocks at a time, for wasm that is built with 128-bit vectors.
//!
//! The crate `chacha20` knows the vectors of processors and not those of wasm, where it makes one
//! block after another: three times as long. Here is its keystream alone (RFC 8439, 2.3); the
//! subkey of the long nonce is still that crate's, and what is made of a keystream, the counting
//! and Poly1305 are `cipher`'s and `chacha20poly1305`'s.

use chacha20::cipher::consts::{U4, U24, U32, U64};
use chacha20::cipher::{
    Array, Block, BlockSizeUser, Iv, IvSizeUser, Key, KeyIvInit, KeySizeUser, ParBlocks,
    ParBlocksSizeUser, StreamCipherBackend, StreamCipherClosure, StreamCipherCore,
    StreamCipherCoreWrapper, StreamCipherSeekCore,
};
use chacha20poly1305::ChaChaPoly1305;
use zeroize::Zeroize as _;

use lanes::Lanes;

/// XChaCha20-Poly1305.
pub(crate) type XChaCha20Poly1305 = ChaChaPoly1305<StreamCipherCoreWrapper<Core>, U24>;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
/// The word that counts blocks.
const COUNTER: usize = 12;

pub(crate) struct Core {
    /// What each block is made from.
    words: [u32; 16],
    /// Four blocks that were made together, and the number of the first: with the key of Poly1305
    /// come the blocks that are enough for a small record.
    made: [[u8; 64]; 4],
    made_from: u32,
}

impl Core {
    fn make(&mut self) {
        four_blocks(&self.words, self.made.each_mut());
        self.made_from = self.words[COUNTER];
    }

    fn count(&mut self, blocks: usize) {
        self.words[COUNTER] = self.words[COUNTER].wrapping_add(blocks as u32);
    }
}

/// The block that `start` stands for, and the three after it.
fn four_blocks(start: &[u32; 16], blocks: [&mut [u8; 64]; 4]) {
    let mut start = start.map(lanes::splat);
    start[COUNTER] = lanes::add(start[COUNTER], lanes::STEPS);
    let mut words = start;
    for _ in 0..10 {
        quarter_round(&mut words, 0, 4, 8, 12);
        quarter_round(&mut words, 1, 5, 9, 13);
        quarter_round(&mut words, 2, 6, 10, 14);
        quarter_round(&mut words, 3, 7, 11, 15);
        quarter_round(&mut words, 0, 5, 10, 15);
        quarter_round(&mut words, 1, 6, 11, 12);
        quarter_round(&mut words, 2, 7, 8, 13);
        quarter_round(&mut words, 3, 4, 9, 14);
    }
    let mut blocks = blocks.map(|block| block.as_chunks_mut::<16>().0);
    for at in 0..4 {
        let word = |i| lanes::add(words[4 * at + i], start[4 * at + i]);
        let columns = lanes::columns(word(0), word(1), word(2), word(3));
        for (block, bytes) in blocks.iter_mut().zip(columns) {
            block[at] = bytes;
        }
    }
}

#[inline(always)]
fn quarter_round(words: &mut [Lanes; 16], a: usize, b: usize, c: usize, d: usize) {
    words[a] = lanes::add(words[a], words[b]);
    words[d] = lanes::rotate_16(lanes::xor(words[d], words[a]));
    words[c] = lanes::add(words[c], words[d]);
    words[b] = lanes::rotate::<12>(lanes::xor(words[b], words[c]));
    words[a] = lanes::add(words[a], words[b]);
    words[d] = lanes::rotate_8(lanes::xor(words[d], words[a]));
    words[c] = lanes::add(words[c], words[d]);
    words[b] = lanes::rotate::<7>(lanes::xor(words[b], words[c]));
}

impl Drop for Core {
    fn drop(&mut self) {
        self.words.zeroize();
        self.made.zeroize();
    }
}

impl KeySizeUser for Core {
    type KeySize = U32;
}

impl IvSizeUser for Core {
    type IvSize = U24;
}

impl BlockSizeUser for Core {
    type BlockSize = U64;
}

impl KeyIvInit for Core {
    fn new(key: &Key<Self>, nonce: &Iv<Self>) -> Self {
        let (first, last) = nonce.split_ref::<chacha20::cipher::consts::U16>();
        let mut subkey = chacha20::hchacha::<chacha20::R20>(key, first);
        let mut words = [0; 16];
        words[..4].copy_from_slice(&CONSTANTS);
        let key_words = subkey.as_chunks::<4>().0.iter();
        let nonce_words = last.as_chunks::<4>().0.iter();
        for (word, bytes) in words[4..12].iter_mut().zip(key_words) {
            *word = u32::from_le_bytes(*bytes);
        }
        // The counter, and a word of zeros that makes the nonce as long as RFC 8439 wants it.
        for (word, bytes) in words[14..].iter_mut().zip(nonce_words) {
            *word = u32::from_le_bytes(*bytes);
        }
        subkey.zeroize();
        let mut core = Self {
            words,
            made: [[0; 64]; 4],
            made_from: 0,
        };
        core.make();
        core
    }
}

impl StreamCipherCore for Core {
    fn remaining_blocks(&self) -> Option<usize> {
        usize::try_from(u32::MAX - self.words[COUNTER]).ok()
    }

    fn process_with_backend(&mut self, act: impl StreamCipherClosure<BlockSize = U64>) {
        act.call(&mut Backend(self));
    }
}

impl StreamCipherSeekCore for Core {
    type Counter = u32;

    fn get_block_pos(&self) -> u32 {
        self.words[COUNTER]
    }

    fn set_block_pos(&mut self, block: u32) {
        self.words[COUNTER] = block;
    }
}

struct Backend<'a>(&'a mut Core);

impl BlockSizeUser for Backend<'_> {
    type BlockSize = U64;
}

impl ParBlocksSizeUser for Backend<'_> {
    type ParBlocksSize = U4;
}

impl StreamCipherBackend for Backend<'_> {
    fn gen_ks_block(&mut self, block: &mut Block<Self>) {
        self.gen_tail_blocks(std::slice::from_mut(block));
    }

    fn gen_par_ks_blocks(&mut self, blocks: &mut ParBlocks<Self>) {
        four_blocks(&self.0.words, blocks.0.each_mut().map(|block| &mut block.0));
        self.0.count(4);
    }

    fn gen_tail_blocks(&mut self, blocks: &mut [Block<Self>]) {
        let at = |core: &Core| core.words[COUNTER].wrapping_sub(core.made_from) as usize;
        if at(self.0).saturating_add(blocks.len()) > 4 {
            self.0.make();
        }
        for (block, made) in blocks.iter_mut().zip(&self.0.made[at(self.0)..]) {
            *block = Array(*made);
        }
        self.0.count(blocks.len());
    }
}

/// One word of each of four blocks.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod lanes {
    use std::arch::wasm32::{
        i8x16_shuffle, u32x4, u32x4_add, u32x4_shl, u32x4_shr, u32x4_shuffle, u32x4_splat,
        u64x2_extract_lane, u64x2_shuffle, v128, v128_or, v128_xor,
    };

    pub(super) type Lanes = v128;

    pub(super) const STEPS: Lanes = u32x4(0, 1, 2, 3);

    #[inline(always)]
    pub(super) fn splat(word: u32) -> Lanes {
        u32x4_splat(word)
    }

    #[inline(always)]
    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        u32x4_add(a, b)
    }

    #[inline(always)]
    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        v128_xor(a, b)
    }

    #[inline(always)]
    pub(super) fn rotate<const BITS: u32>(a: Lanes) -> Lanes {
        v128_or(u32x4_shl(a, BITS), u32x4_shr(a, 32 - BITS))
    }

    #[inline(always)]
    pub(super) fn rotate_16(a: Lanes) -> Lanes {
        i8x16_shuffle::<2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13>(a, a)
    }

    #[inline(always)]
    pub(super) fn rotate_8(a: Lanes) -> Lanes {
        i8x16_shuffle::<3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14>(a, a)
    }

    /// The bytes of four words of each block.
    #[inline(always)]
    pub(super) fn columns(a: Lanes, b: Lanes, c: Lanes, d: Lanes) -> [[u8; 16]; 4] {
        let ab = u32x4_shuffle::<0, 4, 1, 5>(a, b);
        let cd = u32x4_shuffle::<0, 4, 1, 5>(c, d);
        let (first, second) = (u64x2_shuffle::<0, 2>(ab, cd), u64x2_shuffle::<1, 3>(ab, cd));
        let ab = u32x4_shuffle::<2, 6, 3, 7>(a, b);
        let cd = u32x4_shuffle::<2, 6, 3, 7>(c, d);
        let (third, fourth) = (u64x2_shuffle::<0, 2>(ab, cd), u64x2_shuffle::<1, 3>(ab, cd));
        [first, second, third, fourth].map(|words| {
            let low = u128::from(u64x2_extract_lane::<0>(words));
            let high = u128::from(u64x2_extract_lane::<1>(words));
            (high << 64 | low).to_le_bytes()
        })
    }
}

/// The same without vectors, for tests.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod lanes {
    pub(super) type Lanes = [u32; 4];

    pub(super) const STEPS: Lanes = [0, 1, 2, 3];

    pub(super) fn splat(word: u32) -> Lanes {
        [word; 4]
    }

    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|at| a[at].wrapping_add(b[at]))
    }

    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|at| a[at] ^ b[at])
    }

    pub(super) fn rotate<const BITS: u32>(a: Lanes) -> Lanes {
        a.map(|word| word.rotate_left(BITS))
    }

    pub(super) fn rotate_16(a: Lanes) -> Lanes {
        rotate::<16>(a)
    }

    pub(super) fn rotate_8(a: Lanes) -> Lanes {
        rotate::<8>(a)
    }

    pub(super) fn columns(a: Lanes, b: Lanes, c: Lanes, d: Lanes) -> [[u8; 16]; 4] {
        std::array::from_fn(|at| {
            let mut bytes = [0; 16];
            let words = [a[at], b[at], c[at], d[at]];
            for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                *place = word.to_le_bytes();
            }
            bytes
        })
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
    use proptest::prelude::*;

    fn seals_alike(key: [u8; 32], nonce: [u8; 24], place: &[u8], plain: &[u8]) {
        let (key, nonce) = (key.into(), nonce.into());
        let (mut ours, mut theirs) = (plain.to_vec(), plain.to_vec());
        let cipher = super::XChaCha20Poly1305::new(&key);
        let tag = cipher.encrypt_inout_detached(&nonce, place, ours.as_mut_slice().into());
        let expected = chacha20poly1305::XChaCha20Poly1305::new(&key).encrypt_inout_detached(
            &nonce,
            place,
            theirs.as_mut_slice().into(),
        );
        assert_eq!((&ours, tag), (&theirs, expected));
        let opened = cipher.decrypt_inout_detached(
            &nonce,
            place,
            ours.as_mut_slice().into(),
            &expected.unwrap(),
        );
        assert_eq!((opened.is_ok(), &ours[..]), (true, plain));
    }

    #[test]
    fn every_length_is_sealed_as_by_the_crate() {
        let plain: Vec<u8> = (0..2_000_u32).map(|n| (n * 7) as u8).collect();
        for length in (0..=600).chain([1_023, 1_024, 1_025, 2_000]) {
            seals_alike([length as u8; 32], [3; 24], b"place", &plain[..length]);
        }
    }

    #[test]
    fn the_counter_passes_from_byte_to_byte() {
        // 64 kB are a thousand blocks.
        seals_alike([9; 32], [200; 24], b"", &vec![0x5a; 70_001]);
    }

    proptest! {
        #[test]
        fn any_record_is_sealed_as_by_the_crate(
            key: [u8; 32], nonce: [u8; 24], place: Vec<u8>, plain: Vec<u8>,
        ) {
            seals_alike(key, nonce, &place, &plain);
        }
    }
}
