//! Operations: what a duty reports, and calling them off.

use bursar_domain::{
    AuthorityNodeId, Command, Effect, FieldFault, ObjectRef, OperationId, Rejection, Revision,
    operation::{self, End, Step, Wait, WaitCode},
};

use crate::book::*;

const OPERATION: OperationId = OperationId(1);
const NODE: ObjectRef = ObjectRef::AuthorityNode(AuthorityNodeId(2));

fn report(step: Option<Step>, waiting_on: &[WaitCode]) -> Command {
    let waiting_on = waiting_on.iter().map(|code| (*code, NODE)).collect();
    Command::Operation(operation::Command::Report { operation: OPERATION, step, waiting_on })
}

fn cancel(operation: u64) -> Command {
    Command::Operation(operation::Command::Cancel { operation: OperationId(operation) })
}

fn waiting(waits: &[(WaitCode, u64)]) -> bursar_domain::Event {
    let waiting_on = waits.iter().map(|(code, since)| Wait { code: *code, object: NODE, since: Revision(*since) }).collect();
    operation::Event::Waiting { operation: OPERATION, waiting_on }.into()
}

/// Operation 1 takes node 2 in; the last revision is 6.
fn an_admission() -> Given {
    a_cluster().and(admitted(2, 1))
}

rules! {
    fn a_duty_reports_steps_and_waits() {
        an_admission()
            .when(MEMBERSHIP, report(Some(Step::Learning), &[WaitCode::NodeCatchingUp]))
            .then([advanced(1, Step::Learning), waiting(&[(WaitCode::NodeCatchingUp, 7)])])
            .told(Effect::Changed, OPERATION);
    }

    fn a_report_without_news_changes_nothing() {
        an_admission()
            .and([advanced(1, Step::Learning), waiting(&[(WaitCode::NodeCatchingUp, 8)])])
            .when(MEMBERSHIP, report(Some(Step::Learning), &[WaitCode::NodeCatchingUp]))
            .then([])
            .told(Effect::Unchanged, OPERATION);
    }

    fn a_wait_keeps_the_revision_since_which_it_lasts() {
        an_admission()
            .and([waiting(&[(WaitCode::NodeCatchingUp, 7)])])
            .when(MEMBERSHIP, report(None, &[WaitCode::NodeUnreachable, WaitCode::NodeCatchingUp]))
            .then([waiting(&[(WaitCode::NodeUnreachable, 8), (WaitCode::NodeCatchingUp, 7)])]);
    }

    fn a_wait_ends() {
        an_admission().and([waiting(&[(WaitCode::NodeCatchingUp, 7)])]).when(MEMBERSHIP, report(None, &[])).then([waiting(&[])]);
    }

    fn only_a_duty_reports() {
        an_admission().when(ADMINISTRATOR, report(Some(Step::Learning), &[])).refused("not_permitted");
    }

    fn a_report_names_few_waits() {
        let most = [(WaitCode::NodeUnreachable, 7); 100];
        an_admission().when(MEMBERSHIP, report(None, &[WaitCode::NodeUnreachable; 100])).then([waiting(&most)]);
        an_admission()
            .when(MEMBERSHIP, report(None, &[WaitCode::NodeUnreachable; 101]))
            .refused("invalid_field")
            .for_field("waiting_on", FieldFault::TooMany { entries_max: 100 });
    }

    fn an_operation_that_has_ended_says_no_more() {
        let ended = || Rejection::OperationEnded { operation: OPERATION };
        two_nodes().when(MEMBERSHIP, report(Some(Step::Learning), &[])).refused("operation_ended").because(ended());
        two_nodes().when(ADMINISTRATOR, cancel(1)).refused("operation_ended").because(ended());
    }

    fn an_admission_is_called_off() {
        let [started, removal] = leaving(2, 2);
        an_admission()
            .when(ADMINISTRATOR, cancel(1))
            .then([ended(1, End::Cancelled), started, removal])
            .told(Effect::Accepted, OperationId(2));
    }

    fn a_removal_is_not_called_off() {
        two_nodes().and(leaving(2, 2)).when(ADMINISTRATOR, cancel(2)).refused("not_cancellable").because(
            Rejection::NotCancellable { operation: OperationId(2) },
        );
    }

    fn what_does_not_exist_is_not_found() {
        an_admission().when(ADMINISTRATOR, cancel(2)).refused("not_found").because(Rejection::NotFound {
            object: OperationId(2).into(),
        });
    }
}
