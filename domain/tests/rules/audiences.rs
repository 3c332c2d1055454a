//! Who gets to see what happened.

use bursar_domain::{Audience, DestinationId, Event, Reader, Record, ServerId, encoding::decode};

use crate::specimens;

const SERVER: ServerId = ServerId(300);
const DESTINATION: DestinationId = DestinationId(130);

/// What storage servers see of everything that can happen; of what is not listed here they see nothing.
#[test]
fn servers_see_what_concerns_them_and_nothing_else() {
    let expected = |kind: &str| match kind {
        "authority_node.admitted" | "authority_node.announced" | "authority_node.removed" => Audience::Servers,
        "server.introduced" | "server.edited" | "server.removed" | "server.withdrawn" => Audience::Destination(DESTINATION),
        "server.welcomed" | "server.intended" => Audience::Server(SERVER),
        "store_point.created" | "store_point.edited" | "store_point.intended" | "store_point.reported" => {
            Audience::Server(SERVER)
        }
        _ => Audience::Administrators,
    };
    for specimen in specimens::events() {
        let record: Record = decode(&specimen.bytes).expect("what was just encoded");
        let event: Event = record.event;
        assert_eq!(event.audience(), expected(event.kind()), "{}", event.kind());
    }
}

#[test]
fn an_audience_includes_those_it_names() {
    let reader = |server, destination| Reader::Server { server: ServerId(server), destination: DestinationId(destination) };
    let readers = [Reader::Administrator, reader(1, 1), reader(2, 1), reader(3, 2)];
    let who = |audience: Audience| readers.map(|reader| audience.includes(reader));
    assert_eq!(who(Audience::Administrators), [true, false, false, false]);
    assert_eq!(who(Audience::Servers), [true, true, true, true]);
    assert_eq!(who(Audience::Destination(DestinationId(1))), [true, true, true, false]);
    assert_eq!(who(Audience::Server(ServerId(2))), [true, false, true, false]);
}
