//! Every seed that ever failed is run again.

use craftec_sim::{kept::kept, run_seed};

#[test]
fn seeds_that_failed_once_fail_no_more() {
    for kept in kept().unwrap() {
        let failures = run_seed(kept.scenario, kept.seed).failures;
        assert_eq!(failures, Vec::<String>::new(), "{kept:?}");
    }
}
