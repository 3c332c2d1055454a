//! Sites.

use bursar_domain::{
    AuthorityNodeId, Blocker, Command, DestinationId, Effect, FieldFault, Hash, Rejection, RequestId, Revision, SiteId,
    authority_node,
    encoding::encode,
    requests::Remembered,
    site::{self, EXPECTED_LATENCY_MS_MAX},
};

use crate::book::*;

fn edit(name: Option<&str>, expected_latency_ms: Option<u32>) -> Command {
    Command::Site(site::Command::Edit { site: SiteId(1), name: name.map(Into::into), expected_latency_ms })
}

fn edited(name: Option<&str>, expected_latency_ms: Option<u32>) -> bursar_domain::Event {
    site::Event::Edited { site: SiteId(1), name: name.map(crate::book::name), expected_latency_ms }.into()
}

rules! {
    fn a_site_is_created() {
        a_cluster()
            .when(ADMINISTRATOR, create_site("Dublin"))
            .then([site_created(1, "Dublin")])
            .told(Effect::Created, SiteId(1));
    }

    fn a_number_is_never_given_again() {
        let removed = site::Event::Removed { site: SiteId(1) };
        a_cluster()
            .and([site_created(1, "Dublin"), removed.into()])
            .when(ADMINISTRATOR, create_site("Dublin"))
            .then([site_created(2, "Dublin")]);
    }

    fn a_name_belongs_to_one_site_whatever_the_case_of_its_letters() {
        let taken = |name: &str| Rejection::NameTaken { name: name.into(), holder: SiteId(1).into() };
        let given = || a_cluster().and([site_created(1, "Dublin")]);
        given().when(ADMINISTRATOR, create_site("dUBLIN")).refused("name_taken").because(taken("dUBLIN"));
        given()
            .and([site_created(2, "Paris")])
            .when(ADMINISTRATOR, Command::Site(site::Command::Edit {
                site: SiteId(2),
                name: Some("DUBLIN".into()),
                expected_latency_ms: None,
            }))
            .refused("name_taken")
            .because(taken("DUBLIN"));
    }

    fn what_is_given_is_changed_and_what_is_not_stays() {
        let given = || a_cluster().and([site_created(1, "Dublin")]);
        given().when(ADMINISTRATOR, edit(Some("Cork"), None)).then([edited(Some("Cork"), None)]).told(Effect::Changed, SiteId(1));
        given().when(ADMINISTRATOR, edit(None, Some(9))).then([edited(None, Some(9))]);
        given().when(ADMINISTRATOR, edit(Some("Dublin"), Some(9))).then([edited(None, Some(9))]);
    }

    fn a_site_may_change_the_case_of_its_own_name() {
        a_cluster().and([site_created(1, "Dublin")]).when(ADMINISTRATOR, edit(Some("dublin"), None)).then([edited(Some("dublin"), None)]);
    }

    fn asking_for_what_is_changes_nothing() {
        a_cluster()
            .and([site_created(1, "Dublin")])
            .when(ADMINISTRATOR, edit(Some("Dublin"), Some(5)))
            .then([])
            .told(Effect::Unchanged, SiteId(1));
    }

    fn an_expected_latency_has_a_limit() {
        let too_high = FieldFault::OutOfRange { min: 0, max: EXPECTED_LATENCY_MS_MAX.into() };
        let given = || a_cluster().and([site_created(1, "Dublin")]);
        given()
            .when(ADMINISTRATOR, edit(None, Some(EXPECTED_LATENCY_MS_MAX)))
            .then([edited(None, Some(EXPECTED_LATENCY_MS_MAX))]);
        given()
            .when(ADMINISTRATOR, edit(None, Some(EXPECTED_LATENCY_MS_MAX + 1)))
            .refused("invalid_field")
            .for_field("expected_latency_ms", too_high.clone());
        let create = site::Command::Create { name: "Cork".into(), expected_latency_ms: u32::MAX };
        given().when(ADMINISTRATOR, Command::Site(create)).refused("invalid_field").for_field("expected_latency_ms", too_high);
    }

    fn what_does_not_exist_is_not_found() {
        a_cluster().when(ADMINISTRATOR, edit(None, Some(9))).refused("not_found").because(Rejection::NotFound {
            object: SiteId(1).into(),
        });
        a_cluster().when(ADMINISTRATOR, remove_site(1)).refused("not_found");
    }

    fn an_unused_site_is_removed() {
        a_cluster()
            .and([site_created(1, "Dublin")])
            .when(ADMINISTRATOR, remove_site(1))
            .then([site::Event::Removed { site: SiteId(1) }.into()])
            .told(Effect::Removed, SiteId(1));
    }

    fn a_removal_lists_what_stands_in_the_way() {
        let placed = |node| authority_node::Event::Edited { node: AuthorityNodeId(node), site: Some(SiteId(1)) }.into();
        two_nodes()
            .and([
                site_created(1, "Dublin"),
                site_created(2, "Paris"),
                destination_created(1, "vault", 1),
                destination_created(2, "cellar", 2),
                destination_created(3, "attic", 1),
                placed(1),
                placed(2),
            ])
            .and(leaving(2, 2))
            .and(left(2, 2))
            .when(ADMINISTRATOR, remove_site(1))
            .refused("in_use")
            .because(Rejection::InUse {
                object: SiteId(1).into(),
                blockers: [
                    Blocker { object: DestinationId(1).into(), name: "vault".into() },
                    Blocker { object: DestinationId(3).into(), name: "attic".into() },
                    Blocker { object: AuthorityNodeId(1).into(), name: "n1.example:4283".into() },
                ]
                .into_iter()
                .collect(),
            });
    }

    fn of_much_that_stands_in_the_way_the_first_are_listed_and_all_are_counted() {
        let name = |number: u64| format!("vault {number}");
        let all = || 1..=250;
        a_cluster()
            .and([site_created(1, "Dublin")])
            .and(all().map(|number| destination_created(number, &name(number), 1)))
            .when(ADMINISTRATOR, remove_site(1))
            .refused("in_use")
            .because(Rejection::InUse {
                object: SiteId(1).into(),
                blockers: all().map(|number| Blocker { object: DestinationId(number).into(), name: name(number) }).collect(),
            });
    }
}

/// However many use a site, the refusal of its removal is a small part of what travels between nodes in one piece.
#[test]
fn a_refusal_is_small() {
    let blockers = (1..=100_000).map(|number| Blocker { object: DestinationId(number).into(), name: "𝄞".repeat(128) });
    let refusal = Rejection::InUse { object: SiteId(1).into(), blockers: blockers.collect() };
    let remembered = Remembered {
        revision: Revision(1),
        actor: ADMINISTRATOR,
        request: RequestId::parse("a-key").expect("visible ASCII"),
        fingerprint: Hash::ZERO,
        outcome: Err(refusal),
        at: START,
    };
    assert!(encode(&remembered).len() < 1 << 16);
}
