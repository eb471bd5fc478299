//! Layerwise keeps container builds cached. The modules, bottom to top; each names only those
//! before it (`tests/tidy.rs`).

pub mod edit;
pub mod text;
pub mod syntax;
pub mod effects;
pub mod volatility;
pub mod value;
pub mod shell;
pub mod facts;
pub mod ecosystem;
pub mod cache;
pub mod build;
pub mod dockerfile;
pub mod workflow;
pub mod bake;
pub mod compose;
pub mod file;
pub mod links;
pub mod snapshot;
pub mod diagnostic;
pub mod config;
pub mod view;
pub mod rules;
pub mod check;
pub mod workspace;
pub mod cli;
pub mod server;
