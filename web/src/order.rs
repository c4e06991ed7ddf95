//! Sorting, once for all types: what is compared is an index, and only the indices are sorted.
//!
//! The standard sort is some 3 kB of code for every type that it is used with, all of which a
//! browser downloads.

use std::cmp::Ordering;

/// Sorts; equal items stay in their order.
pub(crate) fn sort<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let order = order(items.len(), &|a, b| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    let mut taken: Vec<Option<T>> = items.drain(..).map(Some).collect();
    items.extend(order.into_iter().filter_map(|at| taken.get_mut(at)?.take()));
}

/// The indices below `count` in the order of what they stand for.
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_items_stay_in_their_order() {
        let mut items = vec![("b", 1), ("a", 1), ("c", 0), ("b", 0), ("a", 0)];
        sort(&mut items, |a, b| a.0.cmp(b.0));
        assert_eq!(items, [("a", 1), ("a", 0), ("b", 1), ("b", 0), ("c", 0)]);
        let mut none: Vec<u8> = Vec::new();
        sort(&mut none, Ord::cmp);
        assert!(none.is_empty());
    }
}
