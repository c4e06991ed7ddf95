//! The real node in many copies: what is put is copied and read back, and a seed is a run.

use craftec_sim::scenario::{Scenario, Size, alive, closing, liar, mesh, put_get};

#[test]
fn fifty_nodes_put_and_get_under_loss_and_delay_and_a_seed_is_a_trace() {
    let first = put_get(1, Size::STANDARD).unwrap();
    assert_eq!(first.failures, Vec::<String>::new());
    assert_eq!(first.number("nodes"), 50);
    assert_eq!(first.number("gets"), Size::STANDARD.gets as u64);
    assert!(first.number("crashes") > 0, "nobody ever lost power");
    assert_eq!(put_get(1, Size::STANDARD).unwrap(), first, "one seed, two runs");
    assert_ne!(put_get(2, Size::STANDARD).unwrap().trace, first.trace);
}

#[test]
fn liars_are_dropped_and_reads_succeed() {
    let report = liar(1).unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    assert!(report.number("lies") > 0);
}

#[test]
fn tabs_link_to_each_other_and_outlive_their_relay() {
    for seed in 0..3 {
        let report = mesh(seed).unwrap();
        println!("{report}");
        assert_eq!(report.failures, Vec::<String>::new(), "seed {seed}");
        assert_eq!(report.number("parts"), 1);
    }
}

#[test]
fn coded_objects_outlive_everyone_who_held_them() {
    for seed in 0..3 {
        let report = alive(seed).unwrap();
        println!("{report}");
        assert_eq!(report.failures, Vec::<String>::new(), "seed {seed}");
        assert!(report.number("mended_shards") > 0);
    }
}

#[test]
fn coded_objects_outlive_tabs_that_close_without_a_word_and_have_no_relay() {
    for seed in 0..3 {
        let report = closing(seed).unwrap();
        println!("{report}");
        assert_eq!(report.failures, Vec::<String>::new(), "seed {seed}");
        assert_eq!(report.number("gets"), 10);
    }
}

#[test]
fn scenarios_have_names() {
    for scenario in Scenario::ALL {
        assert_eq!(scenario.to_string().parse(), Ok(scenario));
    }
    assert!("nothing".parse::<Scenario>().unwrap_err().contains("put-get"));
}
