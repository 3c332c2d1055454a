//! The other nodes of a context's cluster, learnt from what its nodes answer: whichever of them fails, another can be asked.

use bursar_wire::client::NodeUrl;

/// The URLs of a context whose members have these API addresses: those that it has and that are members', in its order, then
/// the others. Nothing is learnt
///
/// - where none of the context's URLs is a member's own: a proxy or a forwarded port stands between, and the members'
///   addresses may lead nowhere from here;
/// - for plain HTTP, beyond the machine itself: no token is to travel in the clear.
pub(crate) fn learnt<'a>(urls: &[NodeUrl], addresses: impl IntoIterator<Item = &'a str>) -> Vec<NodeUrl> {
    let is_secure = urls.iter().all(NodeUrl::is_secure);
    let members: Vec<NodeUrl> = addresses
        .into_iter()
        .filter_map(|address| Some(NodeUrl::new(is_secure, address.parse().ok()?)))
        .filter(may_know_the_token)
        .collect();
    let mut learnt: Vec<NodeUrl> = urls.iter().filter(|url| members.contains(url)).cloned().collect();
    if learnt.is_empty() {
        return urls.to_vec();
    }
    let further: Vec<_> = members.into_iter().filter(|url| !learnt.contains(url)).collect();
    learnt.extend(further);
    learnt
}

/// Whether a token travels there unseen: over TLS, or without leaving the machine.
pub(crate) fn may_know_the_token(url: &NodeUrl) -> bool {
    url.is_secure() || url.address().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(urls: &[&str], addresses: &[&str]) -> Vec<String> {
        let urls: Vec<_> = urls.iter().map(|url| url.parse().unwrap()).collect();
        learnt(&urls, addresses.iter().copied()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_members_are_learnt_behind_those_that_were_given_and_former_ones_forgotten() {
        let learnt = after(&["https://c:1", "https://gone:1", "https://a:1"], &["a:1", "b:1", "c:1"]);
        assert_eq!(learnt, ["https://c:1", "https://a:1", "https://b:1"]);
    }

    #[test]
    fn behind_a_proxy_nothing_is_learnt() {
        assert_eq!(after(&["https://proxy:1"], &["a:1", "b:1"]), ["https://proxy:1"]);
    }

    #[test]
    fn plain_http_goes_no_further_than_the_machine() {
        assert_eq!(
            after(&["http://127.0.0.1:1"], &["127.0.0.1:1", "127.0.0.1:2", "10.0.0.1:1"]),
            ["http://127.0.0.1:1", "http://127.0.0.1:2"]
        );
    }
}
