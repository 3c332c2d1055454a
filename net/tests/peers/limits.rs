//! Ports under too many, too slow and too stubborn connections, in paused time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::Cluster;

const LIMITS: ConnectionLimits = ConnectionLimits {
    max_connections: 3,
    max_per_address: 2,
    handshake_timeout: Duration::from_secs(5),
    drain_timeout: Duration::from_secs(7),
};

/// A listener that is handed its connections.
struct HandedListener {
    connections: Mutex<mpsc::UnboundedReceiver<(DuplexStream, SocketAddr)>>,
}

#[async_trait]
impl Listener for HandedListener {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        match self.connections.lock().await.recv().await {
            Some((stream, remote)) => Ok((Box::new(stream), remote)),
            None => std::future::pending().await,
        }
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A port whose clients connect by memory.
struct Port {
    connections: mpsc::UnboundedSender<(DuplexStream, SocketAddr)>,
    meter: Arc<ConnectionMeter>,
    trigger: ShutdownTrigger,
    serving: JoinHandle<()>,
}

impl Port {
    fn open(acceptor: Option<Arc<dyn Acceptor>>, handler: Arc<dyn ConnectionHandler>) -> Self {
        let (connections, handed) = mpsc::unbounded_channel();
        let listener = Box::new(HandedListener { connections: Mutex::new(handed) });
        let (trigger, shutdown) = shutdown_channel();
        let meter = ConnectionMeter::new();
        let serving = serve(listener, acceptor, LIMITS, Arc::clone(&meter), handler, shutdown);
        Self { connections, meter, trigger, serving: tokio::spawn(serving) }
    }

    fn connect_from(&self, last_byte: u8) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        let remote = SocketAddr::new(IpAddr::from([10, 0, 0, last_byte]), 1234);
        self.connections.send((far, remote)).unwrap();
        near
    }
}

/// Says "welcome", then reads until its client is gone.
struct Greeter;

#[async_trait]
impl ConnectionHandler for Greeter {
    async fn serve(&self, mut connection: Connection) {
        connection.stream.write_all(b"welcome").await.unwrap();
        let _ = connection.stream.read_to_end(&mut Vec::new()).await;
    }
}

async fn is_welcome(stream: &mut DuplexStream) -> bool {
    let mut greeting = [0; 7];
    stream.read_exact(&mut greeting).await.is_ok() && &greeting == b"welcome"
}

/// Reads until the other side closes, and tells how long that took.
async fn time_until_closed(stream: &mut DuplexStream) -> Duration {
    let started = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn connections_above_the_caps_are_closed_at_once_and_counted() {
    let port = Port::open(None, Arc::new(Greeter));
    let mut first = port.connect_from(1);
    let mut second = port.connect_from(1);
    assert!(is_welcome(&mut first).await && is_welcome(&mut second).await);

    let mut third_of_its_address = port.connect_from(1);
    assert!(!is_welcome(&mut third_of_its_address).await);

    let mut other_address = port.connect_from(2);
    assert!(is_welcome(&mut other_address).await);
    let mut fourth_of_all = port.connect_from(3);
    assert!(!is_welcome(&mut fourth_of_all).await);

    let counts = port.meter.counts();
    assert_eq!((counts.open, counts.accepted), (3, 3));
    assert_eq!((counts.refused_address, counts.refused_full), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_once_its_connection_ends() {
    let port = Port::open(None, Arc::new(Greeter));
    for _ in 0..10 {
        let mut only = port.connect_from(1);
        assert!(is_welcome(&mut only).await);
        only.shutdown().await.unwrap();
        time_until_closed(&mut only).await;
    }
    let counts = port.meter.counts();
    assert_eq!((counts.open, counts.accepted, counts.refused_address), (0, 10, 0));
}

fn peer_port(cluster: &Cluster) -> Port {
    let clock = Arc::new(SystemClock);
    let acceptor = TlsAcceptor::for_peers(&cluster.credentials(1), clock).unwrap();
    let port = PeerPort {
        me: cluster.local_node(1),
        admission: Arc::new(EverybodyIn),
        lanes: Arc::new(Stubborn),
        frame_bytes_max: FRAME_BYTES_MAX,
    };
    Port::open(Some(Arc::new(acceptor)), Arc::new(port))
}

struct EverybodyIn;

impl Admission for EverybodyIn {
    fn admit(&self, _hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Never ends by itself, whatever is asked of it.
struct Stubborn;

#[async_trait]
impl LaneHandler for Stubborn {
    async fn serve(&self, _hello: Hello, _reader: FrameReader, _writer: FrameWriter) {
        std::future::pending().await
    }
}

#[async_trait]
impl ConnectionHandler for Stubborn {
    async fn serve(&self, mut connection: Connection) {
        connection.stream.write_all(b"welcome").await.unwrap();
        std::future::pending().await
    }
}

/// Connects as authority node 2 and completes TLS.
async fn secured(cluster: &Cluster, stream: DuplexStream) -> BoxedStream {
    let peer = PeerIdentity { member: Member::authority(1), cluster: cluster.id.clone() };
    cluster.dialer(2).connector.connect(Box::new(stream), &peer).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_closed_when_the_handshake_is_due() {
    let port = peer_port(&Cluster::new("c1"));
    let mut silent = port.connect_from(1);
    assert_eq!(time_until_closed(&mut silent).await, LIMITS.handshake_timeout);
    assert_eq!(port.meter.counts().failed_handshakes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_gets_no_more_time() {
    let port = peer_port(&Cluster::new("c1"));
    let (mut reading, mut writing) = tokio::io::split(port.connect_from(1));
    // The header of a TLS record that promises 512 bytes, which then come one a second.
    writing.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
    let trickle = tokio::spawn(async move {
        while writing.write_all(&[1]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let started = Instant::now();
    let _ = reading.read_to_end(&mut Vec::new()).await;
    assert_eq!(started.elapsed(), LIMITS.handshake_timeout);
    trickle.abort();
    assert_eq!(port.meter.counts().failed_handshakes, 1);
}

#[tokio::test(start_paused = true)]
async fn tls_and_hello_share_one_deadline() {
    let cluster = Cluster::new("c1");
    let port = peer_port(&cluster);
    let started = Instant::now();
    let stream = port.connect_from(1);
    // The client takes its time before it begins.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut secured = secured(&cluster, stream).await;
    let _ = secured.read_to_end(&mut Vec::new()).await;
    assert_eq!(started.elapsed(), LIMITS.handshake_timeout);
    assert_eq!(port.meter.counts().failed_handshakes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hello_of_a_megabyte_is_not_read() {
    let cluster = Cluster::new("c1");
    let port = peer_port(&cluster);
    let started = Instant::now();
    let mut secured = secured(&cluster, port.connect_from(1)).await;
    secured.write_all(&[0, 0x10, 0, 0, 1]).await.unwrap();
    secured.flush().await.unwrap();
    let _ = secured.read_to_end(&mut Vec::new()).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(port.meter.counts().failed_handshakes, 1);
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_lanes_end_at_once() {
    let cluster = Cluster::new("c1");
    let port = peer_port(&cluster);
    let secured = secured(&cluster, port.connect_from(1)).await;
    let (mut reader, mut writer) = frame::frames(secured, FRAME_BYTES_MAX);
    let me = cluster.local_node(2);
    let hello = Hello {
        protocol: PROTOCOL,
        cluster: me.cluster,
        from: Some(me.member),
        from_store: me.store,
        to: Member::authority(1),
        to_store: None,
        lane: Lane::Append,
    };
    introduce(&mut reader, &mut writer, &hello).await.unwrap();

    let asked = Instant::now();
    port.trigger.request();
    port.serving.await.unwrap();
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert!(matches!(reader.receive_raw().await, Err(FrameError::Closed)));
    assert_eq!(port.meter.counts().open, 0);
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_a_stubborn_handler_is_ended_after_the_drain_time() {
    let port = Port::open(None, Arc::new(Stubborn));
    let mut client = port.connect_from(1);
    assert!(is_welcome(&mut client).await);

    let asked = Instant::now();
    drop(port.trigger);
    port.serving.await.unwrap();
    assert_eq!(asked.elapsed(), LIMITS.drain_timeout);
    assert_eq!(time_until_closed(&mut client).await, Duration::ZERO);
    assert_eq!(port.meter.counts().open, 0);
}
