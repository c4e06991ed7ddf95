//! The store on a real disk and on a simulated one that tears, loses, rots and fills up.
