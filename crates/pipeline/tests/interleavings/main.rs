//! The function on a store without transactions, as on AWS: two concurrent calls in every interleaving with each other,
//! clients, crashes, lost responses, duplicate and reordered events. The function is the real one; the store and the
//! schedule are the model's.

#![allow(unreachable_pub, reason = "nothing is outside a test")]

mod model;
mod replay;

use std::{collections::HashMap, sync::Mutex};

use model::{
    Interleavings, Script,
    WritesFirst::{self, Always, FirstAttempts, Never},
};
use replay::{Version, function, triggers};
use stateright::{Checker as _, Model as _};

use Version::{First, Same, Second};

fn explore(
    (renditions, mirrored): (usize, bool),
    scripts: &[Script],
    (crashes, duplicates, lost): (u8, u8, u8),
    writes_first: WritesFirst,
) {
    let model = Interleavings {
        function: function(),
        triggers: triggers(renditions, mirrored),
        scripts: scripts.to_vec(),
        writes_first,
        crashes,
        duplicates,
        lost,
        known: Mutex::new(HashMap::new()),
    };
    let checked = model.checker().spawn_bfs().join();
    println!("{} states, {} of them different", checked.state_count(), checked.unique_state_count());
    checked.assert_properties();
}

/// The last ones restore earlier bytes, so that the thumbnail has an earlier ETag again.
fn overwrites() -> Vec<Script> {
    vec![
        vec![Some(First), Some(Second)],
        vec![Some(First), Some(Same)],
        vec![Some(First), Some(Second), Some(First)],
        vec![Some(First), Some(Second), Some(Same)],
    ]
}

fn deletes() -> Vec<Script> {
    vec![vec![Some(First), None], vec![Some(First), None, Some(First)], vec![Some(First), None, Some(Second)]]
}

#[test]
fn the_newest_version_wins_in_every_interleaving() {
    explore((1, false), &overwrites(), (1, 0, 0), Never);
}

#[test]
fn duplicate_events_and_lost_answers_change_nothing() {
    explore((1, false), &overwrites()[..2], (0, 1, 1), Never);
}

#[test]
fn several_renditions_are_all_of_the_newest_version() {
    explore((2, false), &overwrites()[..2], (1, 0, 0), Never);
}

#[test]
fn mirrored_deletes_win_or_lose_as_a_whole() {
    explore((1, true), &deletes(), (1, 0, 0), Never);
}

#[test]
fn the_newest_version_wins_where_fresh_uploads_are_written_first() {
    explore((1, false), &overwrites(), (1, 0, 0), FirstAttempts);
    explore((1, false), &overwrites(), (1, 0, 0), Always);
}

#[test]
fn duplicates_and_lost_answers_of_fresh_uploads_change_nothing() {
    explore((1, false), &overwrites()[..2], (0, 1, 1), Always);
}

#[test]
fn several_renditions_of_fresh_uploads_are_all_of_the_newest_version() {
    explore((2, false), &overwrites()[..2], (1, 0, 0), Always);
}

#[test]
fn mirrored_deletes_of_fresh_uploads_win_or_lose_as_a_whole() {
    explore((1, true), &deletes(), (1, 0, 0), FirstAttempts);
    explore((1, true), &deletes(), (1, 0, 0), Always);
}
