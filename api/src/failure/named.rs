//! Refusals that name what stands in the way as people know it: the ledger refuses by numbers alone.

use bursar_domain::{FieldFault, Rejection, ServerId, State, StorePointId};
use bursar_wire::Problem;

/// The refusal of the ledger, decided on `state`, with the name of a server or store point that it comes from.
pub(super) fn problem(rejection: &Rejection, state: &State) -> Problem {
    let mut problem = Problem::of(rejection, state.cursor());
    if let Some((number, name)) = in_the_way(rejection, state) {
        let texts = problem.errors.iter_mut().map(|error| &mut error.detail);
        for text in texts.chain([&mut problem.detail]) {
            *text = text.replacen(&number, &name, 1);
        }
    }
    problem
}

/// What stands in the way, by its number as the rejection tells it, and by its name; nothing where the ledger knows no name.
fn in_the_way(rejection: &Rejection, state: &State) -> Option<(String, String)> {
    match rejection {
        Rejection::InvalidField { fault: FieldFault::WithinStorePoint { store_point }, .. } => {
            Some((store_point.to_string(), store_point_named(state, *store_point)?))
        }
        Rejection::ConnectionStringUsed { server } => Some((server.to_string(), server_named(state, *server)?)),
        _ => None,
    }
}

fn store_point_named(state: &State, id: StorePointId) -> Option<String> {
    let store_point = state.store_points().get(id)?;
    Some(format!("{id} “{}” of {}", store_point.name, server_named(state, store_point.server)?))
}

fn server_named(state: &State, id: ServerId) -> Option<String> {
    Some(format!("{id} “{}”", state.servers().get(id)?.name))
}
