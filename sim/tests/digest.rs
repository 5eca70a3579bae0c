//! The digest of the first histories of a seed is the one in `sim/digest.txt`, so that no change of
//! behaviour under faults goes unnoticed. After an intended change, run `npm run simulate --
//! --digest --histories 2000 --seed 1 --update`.

use edge_session_sim::random::{Keep, run, seed_of};
use edge_session_sim::transcript::{Digest, recorded};

const RECORDED: &str = include_str!("../digest.txt");

fn digest(count: u64) -> Digest {
    let mut all = Digest::default();
    for n in 0..count {
        let ran = run(seed_of(1, n), Keep::Digest);
        all.fold(ran.transcript.expect("a transcript").digest());
    }
    all
}

#[test]
fn two_thousand_histories_are_what_they_were() {
    let found = digest(2_000).to_string();
    let wanted = recorded(RECORDED, 1, 2_000).expect("a line of 2000 histories from seed 1");
    assert_eq!(
        found, wanted,
        "if this change of behaviour is intended: npm run simulate -- --digest --histories 2000 --seed 1 --update"
    );
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    let lines = |seed| {
        let ran = run(seed, Keep::Transcript);
        ran.transcript.expect("a transcript").lines()
    };
    assert_eq!(lines(7), lines(7));
    assert_ne!(lines(7), lines(8));
}
