//! The web app of Craftec: publish, open and look after sites and files, and see the network.
//!
//! Everything here is user interface over `@craftec/sdk`, which holds the node; nothing of the node
//! runs in this crate. Figures, addresses, plans and the picture's geometry are plain functions,
//! tested natively.

#![allow(unreachable_pub, reason = "the component macro makes its functions `pub`")]

mod address;
mod app;
mod browser;
mod copies;
mod location;
mod node;
mod order;
mod parts;
mod pick;
mod picture;
mod plan;
mod qr;
mod route;
mod say;
mod screens;
mod sql;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(app::App);
}
