//! What people write: names, texts, addresses. What people read: the words of events and refusals.

use bursar_domain::{
    Actor, AuthorityNodeId, Command, Cursor, DestinationId, Effect, Epoch, Event, FieldFault, Hash, Record, Rejection, RequestId,
    Revision, SiteId,
    authority_node::{self, Facts},
    cursor::CursorError,
    destination::{self, Change},
    encoding::decode,
    request_id::RequestIdError,
    requests::Remembered,
};

use crate::{book::*, specimens};

fn name_refused(name: &str, fault: FieldFault) {
    a_cluster().when(ADMINISTRATOR, create_site(name)).refused("invalid_field").for_field("name", fault);
}

fn name_granted(name: &str) {
    a_cluster().when(ADMINISTRATOR, create_site(name)).then([site_created(1, name)]).told(Effect::Created, SiteId(1));
}

fn describe(text: &str) -> Command {
    let change = Change { description: Some(text.into()), ..Change::default() };
    Command::Destination(destination::Command::Edit { destination: DestinationId(1), change })
}

fn move_to(peer_address: &str) -> Command {
    let facts = Facts { peer_address: peer_address.into(), ..facts(1) };
    Command::AuthorityNode(authority_node::Command::Announce { node: AuthorityNodeId(1), facts })
}

const FIRST_NODE: Actor = Actor::AuthorityNode(AuthorityNodeId(1));

rules! {
    fn a_name_has_at_most_128_characters_however_many_bytes() {
        name_granted(&"x".repeat(128));
        name_granted(&"東".repeat(128));
        name_refused(&"x".repeat(129), FieldFault::TooLong { characters_max: 128 });
        name_refused(&"x".repeat(10_000_000), FieldFault::TooLong { characters_max: 128 });
    }

    fn a_name_is_visible() {
        name_refused("", FieldFault::Empty);
        for control in ['\0', '\u{7}', '\n', '\t', '\u{7f}', '\u{80}', '\u{9f}'] {
            name_refused(&format!("a{control}b"), FieldFault::ControlCharacter);
        }
        for blank in [' ', '\u{a0}', '\u{1680}', '\u{2000}', '\u{200a}', '\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}'] {
            name_refused(&format!("{blank}a"), FieldFault::SurroundingBlank);
            name_refused(&format!("a{blank}"), FieldFault::SurroundingBlank);
            name_granted(&format!("a{blank}b"));
        }
    }

    fn only_ascii_letters_are_folded() {
        let taken = || a_cluster().and([site_created(1, "Ångström")]);
        taken().when(ADMINISTRATOR, create_site("ÅNGSTRÖM")).then([site_created(2, "ÅNGSTRÖM")]);
        taken().when(ADMINISTRATOR, create_site("ÅNGSTRöM")).refused("name_taken");
    }

    fn a_description_may_have_lines_and_tabs() {
        let given = || a_cluster().and([site_created(1, "Dublin"), destination_created(1, "vault", 1)]);
        let long = "x".repeat(4_096);
        let described = |text: &str| destination::Event::Edited {
            destination: DestinationId(1),
            name: None,
            description: Some(description(text)),
            site: None,
            offered: None,
            balancing: None,
            free_space: None,
        };
        given().when(ADMINISTRATOR, describe("a\n\tb")).then([described("a\n\tb").into()]);
        given().when(ADMINISTRATOR, describe(&long)).then([described(&long).into()]);
        let refused = |text: &str, fault| {
            given().when(ADMINISTRATOR, describe(text)).refused("invalid_field").for_field("description", fault);
        };
        refused(&format!("{long}x"), FieldFault::TooLong { characters_max: 4_096 });
        refused("a\u{1b}[31mb", FieldFault::ControlCharacter);
    }

    fn an_address_is_a_host_and_a_port() {
        for address in ["n9:1", "n9.example:65535", "10.0.0.9:4283", "[2001:db8::9]:4283", "[fe80::1%eth0]:4283", "n_9-a:4283"] {
            let announced = Facts { peer_address: address.into(), ..facts(1) };
            let event = authority_node::Event::Announced { node: AuthorityNodeId(1), facts: checked(&announced) };
            a_cluster().when(FIRST_NODE, move_to(address)).then([event.into()]);
        }
        let too_long = format!("{}:4283", "x".repeat(262));
        for address in [
            "", ":", "n9", "n9:", ":4283", "n9:0", "n9:65536", "n9:-1", "n9:+80", "n9:4283 ", " n9:4283", "n 9:4283", "[]:4283",
            "2001:db8::9:4283", "[2001:db8::9]", "user@n9:4283", "n9/path:4283", "http://n9:4283", "nö:4283", &too_long,
        ] {
            a_cluster()
                .when(FIRST_NODE, move_to(address))
                .refused("invalid_field")
                .for_field("peer_address", FieldFault::NoAddress);
        }
    }
}

#[test]
fn a_request_id_is_visible_ascii() {
    for text in ["x", "3f0c-91", &"x".repeat(128)] {
        for id in [RequestId::parse(text), RequestId::minted(text)] {
            assert_eq!(id.as_ref().map(RequestId::as_str), Ok(text));
        }
    }
    for text in ["", "a b", "a\nb", "ä", &"x".repeat(129), &"x".repeat(10_000_000)] {
        assert_eq!(RequestId::parse(text), Err(RequestIdError));
        assert_eq!(RequestId::minted(text), Err(RequestIdError));
    }
}

#[test]
fn a_cursor_has_one_spelling() {
    let cursor = Cursor { epoch: Epoch(1), revision: Revision(u64::MAX) };
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
    let other =
        ["", "1", "-", "1-", "-1", "1-2-3", "01-2", "1-02", "+1-2", "1-+2", " 1-2", "1-2 ", "1-18446744073709551616", "a-b"];
    for text in other {
        assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text:?}");
    }
}

#[test]
fn a_hash_is_written_in_hexadecimal_digits() {
    let hash = Hash::of(b"");
    assert_eq!(hash.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
    for text in ["", "af", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65), &"ä".repeat(32)] {
        assert!(text.parse::<Hash>().is_err(), "{text:?}");
    }
}

#[test]
fn every_event_says_what_happened_in_one_line() {
    for specimen in specimens::events() {
        let record: Record = decode(&specimen.bytes).expect("what was just encoded");
        let event: Event = record.event;
        assert_eq!(event.kind(), specimen.variant, "the name by which streams are filtered never changes");
        assert_eq!(event.kind().split_once('.').map(|(noun, _)| noun), Some(event.subject().kind()));
        let line = event.to_string();
        assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn every_refusal_says_why_and_what_to_do() {
    for specimen in specimens::rejections() {
        let remembered: Remembered = decode(&specimen.bytes).expect("what was just encoded");
        let rejection: Rejection = remembered.outcome.expect_err("a refusal");
        assert_eq!(rejection.code(), specimen.variant, "the code that callers know never changes");
        let reason = rejection.to_string();
        assert!(!reason.is_empty() && !reason.contains(char::is_control), "{reason:?}");
        assert!(rejection.remedy().ends_with('.'), "{:?}", rejection.remedy());
    }
}
