//! etcd: three nodes with TLS between them, and its gRPC API as far as the benchmark needs it.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    process::Command,
    task::{Context as TaskContext, Poll},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http2, http::uri::PathAndQuery};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use tonic::{Code, Status, body::Body, client::Grpc};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::{
    processes::{RunDirectory, Server, free_ports, log_tail},
    system::{Door, NODES, OBJECTS, PATIENCE, System, WriteError, Writer, dial, until_ok},
    values::Values,
};

/// A running etcd cluster.
pub struct Etcd {
    servers: Vec<Server>,
    nodes: Vec<Node>,
    /// Last, so that the data goes after the processes.
    _directory: RunDirectory,
}

/// How to start one node.
struct Node {
    program: PathBuf,
    arguments: Vec<String>,
    client_address: String,
    log: PathBuf,
}

impl Node {
    fn start(&self) -> Result<Server> {
        // etcd reads its settings from the environment too: only what stands here shall count.
        let path = std::env::var_os("PATH").map(|path| ("PATH", path));
        Server::spawn(Command::new(&self.program).env_clear().envs(path).args(&self.arguments), &self.log)
    }
}

impl Etcd {
    /// Starts a cluster with its data below `data`, waits until it has a leader, and puts the first value of every key.
    pub async fn start(program: &Path, data: &Path) -> Result<Self> {
        let directory = RunDirectory::new(data, "etcd")?;
        let certificates = Certificates::write(directory.path())?;
        let ports = free_ports(2 * NODES)?;
        let (client_ports, peer_ports) = ports.split_at(NODES);
        let initial_cluster: Vec<_> =
            peer_ports.iter().enumerate().map(|(node, port)| format!("node{node}=https://127.0.0.1:{port}")).collect();
        let initial_cluster = initial_cluster.join(",");

        let nodes: Vec<_> = client_ports
            .iter()
            .zip(peer_ports)
            .enumerate()
            .map(|(node, (client_port, peer_port))| {
                let client_url = format!("http://127.0.0.1:{client_port}");
                let peer_url = format!("https://127.0.0.1:{peer_port}");
                let data = directory.path().join(format!("node{node}"));
                let settings = [
                    ("name", format!("node{node}")),
                    ("data-dir", data.display().to_string()),
                    ("listen-client-urls", client_url.clone()),
                    ("advertise-client-urls", client_url),
                    ("listen-peer-urls", peer_url.clone()),
                    ("initial-advertise-peer-urls", peer_url),
                    ("initial-cluster", initial_cluster.clone()),
                    ("initial-cluster-state", "new".into()),
                    ("peer-cert-file", certificates.certificate.display().to_string()),
                    ("peer-key-file", certificates.key.display().to_string()),
                    ("peer-trusted-ca-file", certificates.authority.display().to_string()),
                    ("peer-client-cert-auth", "true".into()),
                    // Its default of 2 GiB would end a long run with an alarm.
                    ("quota-backend-bytes", (8_u64 << 30).to_string()),
                    ("logger", "zap".into()),
                    ("log-outputs", "stderr".into()),
                ];
                Node {
                    program: program.to_owned(),
                    arguments: settings.map(|(name, value)| format!("--{name}={value}")).into(),
                    client_address: format!("127.0.0.1:{client_port}"),
                    log: directory.path().join(format!("node{node}.log")),
                }
            })
            .collect();

        let servers = nodes.iter().map(Node::start).collect::<Result<_>>()?;
        let etcd = Self { servers, nodes, _directory: directory };
        etcd.fill().await.with_context(|| log_tail(&etcd.nodes[0].log))?;
        Ok(etcd)
    }

    async fn fill(&self) -> Result<()> {
        self.leader().await?;
        let mut writer = self.door().connect(0).await?;
        let mut values = Values::new();
        for object in 0..OBJECTS {
            writer.write(object, values.value()).await.context("cannot put the first values")?;
        }
        Ok(())
    }

    /// The leader, if all running nodes see the same.
    async fn agreed_leader(&self) -> Result<usize> {
        let (mut members, mut leaders) = (Vec::new(), Vec::new());
        for (node, settings) in self.nodes.iter().enumerate() {
            // A node that is down says nothing.
            let Ok(mut client) = Client::connect(&settings.client_address).await else { continue };
            let status: StatusResponse =
                client.call("/etcdserverpb.Maintenance/Status", StatusRequest {}).await.map_err(|status| write_error(&status))?;
            members.push((node, status.header.unwrap_or_default().member_id));
            leaders.push(status.leader);
        }
        leaders.dedup();
        let [leader] = leaders[..] else { bail!("the nodes do not agree on a leader") };
        let leading = members.iter().find(|(_, member)| *member == leader);
        leading.map(|(node, _)| *node).context("no running node leads")
    }
}

impl System for Etcd {
    type Door = EtcdDoor;

    const NAME: &'static str = "etcd";

    fn door(&self) -> EtcdDoor {
        EtcdDoor { addresses: self.nodes.iter().map(|node| node.client_address.clone()).collect() }
    }

    fn servers(&self) -> &[Server] {
        &self.servers
    }

    async fn leader(&self) -> Result<usize> {
        until_ok("etcd has a leader", PATIENCE, async || self.agreed_leader().await).await
    }

    fn kill(&mut self, node: usize) -> Result<()> {
        self.servers[node].kill()
    }

    fn restart(&mut self, node: usize) -> Result<()> {
        self.servers[node] = self.nodes[node].start()?;
        Ok(())
    }
}

/// The files that etcd's peers show each other.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    /// Makes an authority and one certificate, which all nodes share, for 127.0.0.1.
    fn write(directory: &Path) -> Result<Self> {
        let mut authority = CertificateParams::default();
        // Unlike the name that the leaf keeps: Go takes a certificate that is its own issuer by name for a root.
        authority.distinguished_name.push(DnType::CommonName, "etcd benchmark authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut leaf = CertificateParams::new(["127.0.0.1".to_owned()])?;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;

        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        Ok(Self {
            authority: write("ca.crt", authority.pem())?,
            certificate: write("peer.crt", certificate.pem())?,
            key: write("peer.key", key.serialize_pem())?,
        })
    }
}

/// How clients reach etcd.
#[derive(Clone)]
pub struct EtcdDoor {
    addresses: Vec<String>,
}

impl Door for EtcdDoor {
    type Writer = Client;

    async fn connect(&self, node: usize) -> Result<Client, WriteError> {
        Client::connect(&self.addresses[node]).await
    }
}

impl Writer for Client {
    async fn write(&mut self, object: usize, value: String) -> Result<(), WriteError> {
        let put = PutRequest { key: format!("bursar-bench/{object:04}").into(), value: value.into() };
        let answer: Result<PutResponse, Status> = self.call("/etcdserverpb.KV/Put", put).await;
        answer.map(drop).map_err(|status| write_error(&status))
    }
}

/// What a status says about a write. Deadlines and lost leaders come as `Unavailable`; a proposal that a follower without a leader had
/// to drop comes as `Unknown`, told by its message alone.
fn write_error(status: &Status) -> WriteError {
    let reason = format!("{:?}: {}", status.code(), status.message());
    let is_transport = std::error::Error::source(status).is_some();
    match status.code() {
        _ if is_transport => WriteError::Disconnected(reason),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => WriteError::Refused(reason),
        Code::Unknown if status.message().contains("proposal dropped") => WriteError::Refused(reason),
        _ => WriteError::Unexpected(reason),
    }
}

/// One HTTP/2 connection that speaks gRPC.
pub struct Client {
    grpc: Grpc<Connection>,
}

impl Client {
    async fn connect(address: &str) -> Result<Self, WriteError> {
        let stream = TokioIo::new(dial(address).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(WriteError::disconnected)?;
        // Whoever sends learns of the connection's end by his next request.
        tokio::spawn(async move { drop(connection.await) });
        let origin = Uri::builder().scheme("http").authority(address).path_and_query("/").build();
        let origin = origin.map_err(WriteError::disconnected)?;
        Ok(Self { grpc: Grpc::with_origin(Connection { sender }, origin) })
    }

    async fn call<Question, Answer>(&mut self, method: &'static str, question: Question) -> Result<Answer, Status>
    where
        Question: prost::Message + Send + Sync + 'static,
        Answer: prost::Message + Default + Send + Sync + 'static,
    {
        self.grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = ProstCodec::<Question, Answer>::default();
        let answer = self.grpc.unary(tonic::Request::new(question), PathAndQuery::from_static(method), codec).await?;
        Ok(answer.into_inner())
    }
}

/// hyper's half of a connection as the service that tonic asks for: nothing between the two, no pool, no queue, no reconnection.
struct Connection {
    sender: http2::SendRequest<Body>,
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

// The messages as far as they are read or written here; field numbers from etcd's api/etcdserverpb/rpc.proto.

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    cluster_id: u64,
    #[prost(uint64, tag = "2")]
    member_id: u64,
    #[prost(int64, tag = "3")]
    revision: i64,
    #[prost(uint64, tag = "4")]
    raft_term: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    /// The member that leads; 0 where none is known.
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_put_is_encoded_as_etcd_reads_it() {
        let put = PutRequest { key: "k".into(), value: "vv".into() };
        assert_eq!(put.encode_to_vec(), [0x0a, 1, b'k', 0x12, 2, b'v', b'v']);
    }

    #[test]
    fn a_status_is_read_past_the_fields_that_nobody_needs() {
        // header { member_id: 7 }, version "3.4", db_size 9, leader 7, raft_index 1
        let bytes = [0x0a, 2, 0x10, 7, 0x12, 3, b'3', b'.', b'4', 0x18, 9, 0x20, 7, 0x28, 1];
        let status = StatusResponse::decode(&bytes[..]).unwrap();
        assert_eq!((status.header.unwrap().member_id, status.leader), (7, 7));
    }

    #[test]
    fn only_passing_trouble_is_a_refusal() {
        let passing = [
            Status::unavailable("etcdserver: leader changed"),
            Status::unavailable("etcdserver: request timed out"),
            Status::resource_exhausted("etcdserver: too many requests"),
            Status::unknown("raft proposal dropped"),
        ];
        assert!(passing.iter().all(|status| matches!(write_error(status), WriteError::Refused(_))));
        assert!(matches!(write_error(&Status::unknown("panic")), WriteError::Unexpected(_)));
        assert!(matches!(write_error(&Status::invalid_argument("no key")), WriteError::Unexpected(_)));
        let broken = Status::from_error(std::io::Error::other("reset").into());
        assert!(matches!(write_error(&broken), WriteError::Disconnected(_)));
    }
}
