//! The histories that the console plays (`www/lab/`).

use edge_session_sim::lab;

/// Each script panics unless it shows what it demonstrates, and gives the same bytes each time.
#[test]
fn every_story_happens_as_told() {
    let files = lab::files();
    assert_eq!(files.len(), 5);
    assert!(files.iter().all(|(_, text)| !text.is_empty()));
    assert_eq!(files, lab::files());
}
