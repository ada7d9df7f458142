//! Floor 6, the operator's side: health, metrics, the page for people, and its API.
//!
//! [`serve`] has the routes, and `connections` bounds how many come and for how long. `guard` says who may ask, `view`
//! gathers what there is to tell, and `page` and `api` tell it to people and programs. Nothing of it shows a secret; an
//! authorization URL goes to whoever begins the login only.

mod api;
pub mod callback;
mod connections;
mod guard;
mod health;
mod html;
mod page;
mod patience;
mod problem;
mod scrape;
mod server;
mod view;

pub use callback::{Finish, LoopbackCallback, leads_to};
pub use server::{AdminBank, AdminState, ReloadReport, View, serve};
