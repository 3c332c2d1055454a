use std::net::IpAddr;
use std::time::Duration;

use bursar_net::{Address, BoxedStream, Listener, Network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

const PORT: u16 = 4_000;
const BUFFER_BYTES: usize = 64 << 10;

/// Two machines at the first site, one at the second, ten milliseconds away.
struct Three {
    internet: Internet,
    near: HostId,
    far: HostId,
    beside: HostId,
}

fn three() -> Three {
    let distances = Distances { latency_ms: vec![vec![1, 10], vec![10, 1]], jitter_ms: 2, buffer_bytes: BUFFER_BYTES };
    let internet = Internet::new(distances, Draws::of_seed(7), Trace::begin(None));
    tokio::spawn(internet.carry());
    let near = internet.attach("near", 0);
    let far = internet.attach("far", 1);
    let beside = internet.attach("beside", 0);
    Three { internet, near, far, beside }
}

impl Three {
    async fn listen(&self) -> Box<dyn Listener> {
        self.internet.of(self.far).bind(&at("0.0.0.0")).await.unwrap()
    }

    /// A connection from near to far.
    async fn pair(&self) -> (BoxedStream, BoxedStream) {
        let listener = self.listen().await;
        let dialled = self.internet.of(self.near).connect(&at("far")).await.unwrap();
        let (accepted, remote) = listener.accept().await.unwrap();
        assert_eq!(remote.ip(), IpAddr::from(self.internet.address_of(self.near)));
        (dialled, accepted)
    }

    fn both_ways(&self) -> [(HostId, HostId); 2] {
        [(self.near, self.far), (self.far, self.near)]
    }
}

fn at(host: &str) -> Address {
    Address::new(host, PORT).unwrap()
}

fn reading(mut stream: BoxedStream, length: usize) -> JoinHandle<io::Result<(Vec<u8>, Instant)>> {
    tokio::spawn(async move {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await?;
        // Held a while longer, so that closing it disturbs nobody.
        tokio::time::sleep(Duration::from_secs(300)).await;
        Ok((bytes, Instant::now() - Duration::from_secs(300)))
    })
}

/// What a write, and then reading to the end, comes to.
async fn outcome(stream: &mut BoxedStream) -> Result<(), io::ErrorKind> {
    let written = stream.write_all(b"anybody there?").await;
    let mut rest = Vec::new();
    written.and(stream.read_to_end(&mut rest).await.map(|_| ())).map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn bytes_arrive_in_order_after_their_latency_and_the_end_behind_them() {
    let three = three();
    let (mut dialled, mut accepted) = three.pair().await;
    let sent: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let begun = Instant::now();
    let expected = sent.clone();
    tokio::spawn(async move { dialled.write_all(&sent).await });
    let mut received = Vec::new();
    accepted.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, expected);
    assert!(begun.elapsed() >= Duration::from_millis(10 + 2 * 20), "the buffer was full three times: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_written_at_once_arrives_at_once_and_what_has_arrived_is_read_at_once() {
    let three = three();
    let (mut dialled, mut accepted) = three.pair().await;
    let slices = [b"one, ".as_slice(), b"two, ", b"three, "].map(io::IoSlice::new);
    assert_eq!(dialled.write_vectored(&slices).await.unwrap(), 17);
    let mut buffer = [0; 64];
    assert_eq!(accepted.read(&mut buffer).await.unwrap(), 17);

    dialled.write_all(b"four, ").await.unwrap();
    dialled.write_all(b"five").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(accepted.read(&mut buffer[17..]).await.unwrap(), 10);
    assert_eq!(&buffer[..27], b"one, two, three, four, five");
}

#[tokio::test(start_paused = true)]
async fn each_end_may_close_for_itself() {
    let three = three();
    let (mut dialled, mut accepted) = three.pair().await;
    dialled.shutdown().await.unwrap();
    assert_eq!(accepted.read(&mut [0; 8]).await.unwrap(), 0);
    accepted.write_all(b"still here").await.unwrap();
    drop(accepted);
    let mut received = String::new();
    dialled.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "still here");
    assert_eq!(dialled.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_its_reader() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    let filled = timeout(Duration::from_secs(20), dialled.write_all(&vec![1; BUFFER_BYTES + 1])).await;
    assert!(filled.is_err(), "more than the buffer takes was taken");
    let _read = reading(accepted, BUFFER_BYTES);
    timeout(Duration::from_secs(1), dialled.write_all(&[1])).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_refuses_and_who_is_unknown_is_not_found() {
    let three = three();
    let network = three.internet.of(three.near);
    let refused = network.connect(&at("far")).await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(network.connect(&at("nobody")).await.err().unwrap().to_string().contains("failed to lookup"));
    assert_eq!(network.connect(&at("10.9.9.9")).await.err().unwrap().kind(), io::ErrorKind::HostUnreachable);
    assert_eq!(network.bind(&at("far")).await.err().unwrap().kind(), io::ErrorKind::AddrNotAvailable);
    let _held = three.listen().await;
    let taken = three.internet.of(three.far).bind(&at("far")).await.err().unwrap();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test(start_paused = true)]
async fn what_listens_on_the_machine_itself_is_reached_from_there_alone() {
    let three = three();
    let far = three.internet.of(three.far);
    let listener = far.bind(&at("127.0.0.1")).await.unwrap();
    let refused = three.internet.of(three.near).connect(&at("far")).await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let begun = Instant::now();
    let address = at("localhost");
    let (dialled, accepted) = tokio::join!(far.connect(&address), listener.accept());
    assert!(dialled.is_ok() && accepted.is_ok());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_nobody_chose_is_told_and_is_free_again_once_it_is_dropped() {
    let three = three();
    let far = three.internet.of(three.far);
    let any = Address::new("0.0.0.0", 0).unwrap();
    let (one, other) = (far.bind(&any).await.unwrap(), far.bind(&any).await.unwrap());
    assert_ne!(one.local_address().unwrap().port(), other.local_address().unwrap().port());
    let address = Address::from(one.local_address().unwrap());
    let waiting = three.internet.of(three.near).connect(&address).await.unwrap();
    drop(one);
    let mut waiting = waiting;
    assert_eq!(outcome(&mut waiting).await, Err(io::ErrorKind::ConnectionReset), "it waited to be accepted");
    far.bind(&address).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cut_holds_bytes_and_the_mended_link_delivers_them() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    let cut = three.internet.impair(three.both_ways(), Impairment::Cut);
    let begun = Instant::now();
    dialled.write_all(b"one").await.unwrap();
    let read = reading(accepted, 6);
    tokio::time::sleep(Duration::from_secs(10)).await;
    three.internet.repair(cut);
    dialled.write_all(b"two").await.unwrap();
    let (received, at) = read.await.unwrap().unwrap();
    assert_eq!(received, b"onetwo", "what was held is not overtaken");
    assert!((Duration::from_secs(10)..Duration::from_secs(12)).contains(&(at - begun)), "{:?}", at - begun);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_connect_hangs_at_a_cut_and_gets_through_once_it_is_mended() {
    let three = three();
    let _listener = three.listen().await;
    let cut = three.internet.impair(three.both_ways(), Impairment::Cut);
    let network = three.internet.of(three.near);
    let begun = Instant::now();
    let address = at("far");
    let mut attempt = network.connect(&address);
    assert!(timeout(Duration::from_secs(20), &mut attempt).await.is_err());
    three.internet.repair(cut);
    assert!(timeout(Duration::from_secs(12), &mut attempt).await.unwrap().is_ok(), "it knocked again");
    three.internet.impair(three.both_ways(), Impairment::Cut);
    let gave_up = network.connect(&address).await.err().unwrap();
    assert_eq!(gave_up.kind(), io::ErrorKind::TimedOut);
    assert!(begun.elapsed() > Duration::from_secs(127));
}

#[tokio::test(start_paused = true)]
async fn one_direction_may_be_cut_alone() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    three.internet.impair([(three.far, three.near)], Impairment::Cut);
    dialled.write_all(b"there").await.unwrap();
    let (received, _) = reading(accepted, 5).await.unwrap().unwrap();
    assert_eq!(received, b"there");
    assert_eq!(outcome(&mut dialled).await, Err(io::ErrorKind::TimedOut), "it heard nothing for too long");
}

#[tokio::test(start_paused = true)]
async fn overlapping_cuts_end_one_by_one() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    let first = three.internet.impair(three.both_ways(), Impairment::Cut);
    let second = three.internet.impair(three.both_ways(), Impairment::Cut);
    dialled.write_all(b"x").await.unwrap();
    let read = reading(accepted, 1);
    three.internet.repair(first);
    three.internet.repair(first);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    three.internet.repair(second);
    assert!(read.await.unwrap().unwrap().1 > begun, "the other cut still held it");
}

#[tokio::test(start_paused = true)]
async fn machines_that_are_not_meant_do_not_notice_a_cut() {
    let three = three();
    let listener = three.listen().await;
    three.internet.impair(three.both_ways(), Impairment::Cut);
    let (dialled, accepted) =
        tokio::join!(async { three.internet.of(three.beside).connect(&at("far")).await }, listener.accept());
    assert!(dialled.is_ok() && accepted.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_takes_its_time() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    three.internet.impair(three.both_ways(), Impairment::Slow { added_ms: 500, bytes_per_second: 10_000 });
    let begun = Instant::now();
    dialled.write_all(&[1; 20_000]).await.unwrap();
    let (_, at) = reading(accepted, 20_000).await.unwrap().unwrap();
    assert!((Duration::from_millis(2_510)..Duration::from_millis(2_520)).contains(&(at - begun)), "{:?}", at - begun);
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_link_had_yet_to_carry_arrives_once_it_is_slow_no_more() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    let slow = three.internet.impair(three.both_ways(), Impairment::Slow { added_ms: 500, bytes_per_second: 10 });
    for byte in 0..200 {
        dialled.write_all(&[byte]).await.unwrap();
    }
    let begun = Instant::now();
    let reading = reading(accepted, 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    three.internet.repair(slow);
    let (bytes, at) = reading.await.unwrap().unwrap();
    assert_eq!(bytes, (0..200).collect::<Vec<u8>>());
    assert!((Duration::from_millis(3_010)..=Duration::from_millis(3_012)).contains(&(at - begun)), "{:?}", at - begun);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_told_at_both_ends() {
    let three = three();
    let (mut dialled, mut accepted) = three.pair().await;
    three.internet.reset(three.far, three.near);
    assert_eq!(outcome(&mut dialled).await, Err(io::ErrorKind::ConnectionReset));
    assert_eq!(outcome(&mut accepted).await, Err(io::ErrorKind::ConnectionReset));
}

#[tokio::test(start_paused = true)]
async fn who_sends_to_a_program_that_has_gone_is_told() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    drop(accepted);
    dialled.write_all(b"hello?").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(outcome(&mut dialled).await, Err(io::ErrorKind::ConnectionReset));
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_power_says_no_goodbye() {
    let three = three();
    let (mut dialled, accepted) = three.pair().await;
    three.internet.power_off(three.far);
    drop(accepted);
    let begun = Instant::now();
    assert_eq!(dialled.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let silence = begun.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(36)).contains(&silence), "{silence:?}");
    let address = at("far");
    let network = three.internet.of(three.near);
    assert!(timeout(Duration::from_secs(30), network.connect(&address)).await.is_err(), "it does not even refuse");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_has_its_power_back_knows_no_connection_of_before() {
    let three = three();
    let of_before = three.internet.of(three.far);
    let (mut dialled, mut accepted) = three.pair().await;
    three.internet.power_off(three.far);
    three.internet.power_on(three.far);
    assert_eq!(accepted.write(b"x").await.unwrap_err().kind(), io::ErrorKind::NetworkDown);
    assert_eq!(of_before.connect(&at("near")).await.err().unwrap().kind(), io::ErrorKind::NetworkDown);
    assert_eq!(outcome(&mut dialled).await, Err(io::ErrorKind::ConnectionReset));
    let _listener = three.listen().await;
    three.internet.of(three.near).connect(&at("far")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_answered_before_the_power_was_lost_is_not_answered_again() {
    let three = three();
    let listener = three.listen().await;
    three.internet.impair([(three.far, three.near)], Impairment::Slow { added_ms: 5_000, bytes_per_second: 10_000 });
    let network = three.internet.of(three.near);
    // It knocks three times before the first answer is there: the last arrives at a machine that has been away meanwhile.
    let dialling = tokio::spawn(async move {
        let mut dialled = network.connect(&at("far")).await?;
        dialled.read_exact(&mut [0; 5]).await.map(|_| ())
    });
    let (mut accepted, _) = listener.accept().await.unwrap();
    accepted.write_all(b"hello").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    three.internet.power_off(three.far);
    drop((accepted, listener));
    three.internet.power_on(three.far);
    let listener = three.listen().await;
    assert!(timeout(Duration::from_secs(4), listener.accept()).await.is_err(), "nobody dialled anew");
    let outcome = timeout(Duration::from_secs(60), dialling).await.unwrap().unwrap();
    assert!(outcome.is_ok(), "what was said before arrives: {outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_lasts_and_one_that_is_over_is_forgotten() {
    let three = three();
    let (mut dialled, mut accepted) = three.pair().await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    dialled.write_all(b"x").await.unwrap();
    assert_eq!(accepted.read_u8().await.unwrap(), b'x');
    drop((dialled, accepted));
    // Somebody who gave up before he was answered.
    let network = three.internet.of(three.near);
    assert!(timeout(Duration::from_millis(1), network.connect(&at("far"))).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(three.internet.with(|state| state.connections.len()), 0);
}
