//! The copies of a root in words: how many were asked for, signed for, and can be reached.
//!
//! Pure. Never says that something is safe without the figures beside it.

use crate::{node::types::Copies, say};

/// How much a state needs the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing to do: ink.
    Fine,
    /// Amber.
    Attention,
}

/// A state in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How much it needs the reader.
    pub(crate) level: Level,
    /// One or two words.
    pub(crate) title: &'static str,
    /// The figures, as a sentence without its stop.
    pub(crate) figures: String,
}

/// What the copies of one root amount to.
pub(crate) fn verdict(copies: Copies) -> Verdict {
    let Copies { wanted, signed, reachable, needed } = copies;
    let reach = if reachable == 0 { "none".to_owned() } else { reachable.to_string() };
    let figures = if needed > 1 {
        format!("{signed} of {wanted} shards signed for; {reach} reachable now, any {needed} do")
    } else if wanted == 0 && signed > 0 {
        let noun = if signed == 1 { "copy" } else { "copies" };
        format!("{signed} {noun} signed for; {reach} reachable now")
    } else if wanted == 0 {
        "No copies on other nodes were asked for".to_owned()
    } else if signed == 0 {
        format!("0 of {wanted} copies signed for")
    } else {
        format!("{signed} of {wanted} copies signed for; {reach} reachable now")
    };
    let (level, title) = if wanted == 0 {
        (Level::Fine, "Kept here")
    } else if signed == 0 {
        (Level::Attention, "Only here")
    } else if signed < wanted {
        (Level::Attention, "Being copied")
    } else if reachable < needed.max(1) {
        (Level::Attention, "Holders away")
    } else {
        (Level::Fine, "Healthy")
    };
    Verdict { level, title, figures }
}

/// What the copies of content amount to that this node did not publish: `None` where it knows of
/// none, since its publisher sees to them.
pub(crate) fn known_verdict(copies: Copies) -> Option<Verdict> {
    (copies.wanted > 0 || copies.signed > 0).then(|| verdict(copies))
}

/// Whether the tab that published may go, in a sentence.
pub(crate) fn may_close(copies: Copies) -> String {
    let Copies { wanted, signed, .. } = copies;
    if wanted == 0 {
        return "No copies were asked for, so it can be opened only while this tab is.".into();
    }
    let noun = if wanted == 1 { "holder has" } else { "holders have" };
    match signed {
        n if n >= wanted => {
            let keep = if n == 1 { "holder keeps" } else { "holders keep" };
            format!("You can close this tab: {} {keep} the site.", say::count(n.into()))
        }
        0 => format!(
            "Keep this tab open: you can close it once {wanted} {noun} signed for a copy. \
             None has yet."
        ),
        n => format!("You can close this tab once {wanted} {noun} signed for a copy; {n} so far."),
    }
}

/// All roots together: copies wanted and signed for, counted root by root so that spare copies
/// of one don't hide the lack of another.
pub(crate) fn total(roots: impl IntoIterator<Item = Copies>) -> (u64, u64) {
    roots.into_iter().fold((0, 0), |(wanted, signed), copies| {
        let counted = copies.signed.min(copies.wanted);
        (wanted + u64::from(copies.wanted), signed + u64::from(counted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(wanted: u16, signed: u16, reachable: u16) -> Copies {
        Copies { wanted, signed, reachable, needed: 1 }
    }

    #[test]
    fn shards_say_how_many_of_them_do() {
        let shards = |reachable| Copies { wanted: 20, signed: 20, reachable, needed: 8 };
        let v = verdict(shards(19));
        assert_eq!(v.figures, "20 of 20 shards signed for; 19 reachable now, any 8 do");
        assert_eq!((v.title, verdict(shards(7)).title), ("Healthy", "Holders away"));
    }

    #[test]
    fn verdicts_carry_their_figures() {
        let v = verdict(copies(3, 2, 1));
        assert_eq!(v.figures, "2 of 3 copies signed for; 1 reachable now");
        assert_eq!((v.level, v.title), (Level::Attention, "Being copied"));
        assert_eq!(verdict(copies(3, 0, 0)).title, "Only here");
        assert_eq!(verdict(copies(3, 3, 0)).title, "Holders away");
        assert_eq!(verdict(copies(3, 3, 0)).level, Level::Attention);
        assert_eq!(verdict(copies(3, 4, 2)).title, "Healthy");
        assert_eq!(verdict(copies(3, 4, 2)).level, Level::Fine);
        assert_eq!(verdict(copies(0, 0, 0)).title, "Kept here");
    }

    #[test]
    fn of_what_others_published_only_known_copies_are_told() {
        assert_eq!(known_verdict(copies(0, 0, 0)), None);
        let v = known_verdict(copies(0, 2, 1)).unwrap();
        assert_eq!(v.figures, "2 copies signed for; 1 reachable now");
        assert_eq!(known_verdict(copies(3, 0, 0)), Some(verdict(copies(3, 0, 0))));
    }

    #[test]
    fn the_tab_may_close_only_when_all_wanted_copies_are_signed() {
        assert!(may_close(copies(3, 0, 0)).starts_with("Keep this tab open"));
        assert!(may_close(copies(3, 2, 2)).contains("once 3 holders have signed"));
        assert_eq!(may_close(copies(3, 3, 1)), "You can close this tab: 3 holders keep the site.");
        assert_eq!(may_close(copies(1, 1, 1)), "You can close this tab: 1 holder keeps the site.");
        assert!(may_close(copies(0, 0, 0)).contains("only while this tab is"));
    }

    #[test]
    fn spare_copies_hide_nothing() {
        assert_eq!(total([copies(3, 5, 5), copies(3, 1, 0)]), (6, 4));
        assert_eq!(total([]), (0, 0));
    }
}
