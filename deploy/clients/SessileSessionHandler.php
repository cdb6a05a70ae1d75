<?php
declare(strict_types=1);

/**
 * PHP's sessions in Sessile, for PHP 8.1 or newer with its curl extension.
 *
 *     ini_set('session.use_strict_mode', '1');
 *     session_set_save_handler(new SessileSessionHandler('http://127.0.0.1:8081/sessions/v1/'), true);
 *     session_start();
 *
 * Requests of one session follow each other, as with PHP's own files: the second waits for the lock, a key beside the
 * session that ends by itself after $lockSeconds if its owner dies. Should it end too early, no write is lost either: a
 * session is written only while it is the one that was read. Without an answer of the store everything here throws, and
 * no session is taken for a new one. PHP writes at the end of the script: to hear of an error before anything is sent,
 * call session_write_close() first.
 */
final class SessileSessionHandler implements SessionHandlerInterface, SessionUpdateTimestampHandlerInterface
{
    private const PAUSES_US = [5_000, 100_000]; // the first and the longest one while somebody else has the lock
    private const EMPTY = "\0";                 // a session without variables: the store has no empty values
    private CurlHandle $curl;                   // one connection for all that a script asks
    private string $condition = '';             // holds while the session is the one that was read
    private ?string $locked = null;             // the id whose lock we have, and the version of the lock
    private string $lockTag = '';
    private ?RuntimeException $failure = null;  // what read() is to throw

    /** Times are in seconds. $token is a bearer token, $socket a Unix socket's path. */
    public function __construct(
        private string $url = 'http://127.0.0.1:8081/sessions/v1/', private ?string $token = null,
        private ?string $socket = null, private string $prefix = 'php:', private float $timeout = 3,
        private int $lockSeconds = 30, private int $waitSeconds = 10,
    ) {
        $this->curl = curl_init();
        ini_set('zend.exception_ignore_args', '1'); // session ids and values stay out of logs
    }

    public function open(string $path, string $name): bool
    {
        $this->failure = null;
        return true;
    }

    public function close(): bool { return $this->unlock(); }
    public function gc(int $max_lifetime): int|false { return 0; } // the store ends sessions by itself

    /** PHP's first question in strict mode. Under the lock: nobody goes on with an id that is being ended. */
    public function validateId(string $id): bool
    {
        if (!preg_match('/^[A-Za-z0-9,-]{1,256}$/D', $id)) { return false; }
        try {
            $this->read($id);
        } catch (RuntimeException $error) {
            $this->failure = $error; // for read: on an error here PHP would give the browser a new id
            return true;
        }
        return $this->condition !== 'If-None-Match: *' || !$this->unlock();
    }

    public function read(string $id): string|false
    {
        if ($this->failure !== null) { throw $this->failure; }
        $this->lock($id);
        [$status, $data, $tag] = $this->ask('GET', $id, [200, 404]);
        $this->condition = $status === 200 ? "If-Match: $tag" : 'If-None-Match: *';
        return $status === 404 || $data === self::EMPTY ? '' : $data;
    }

    public function write(string $id, string $data): bool
    {
        $data = $data === '' ? self::EMPTY : $data;
        [$status, , $tag] = $this->ask('POST', $id, [201, 412], [$this->condition, $this->lifetime()], $data);
        if ($status === 412) { $this->fail('another request has changed or ended this session'); }
        $this->condition = "If-Match: $tag";
        return true;
    }

    /** PHP calls this in place of write() where nothing was changed. */
    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->ask('PATCH', $id, [204, 404], [$this->lifetime()])[0] === 204 || $this->write($id, $data);
    }

    public function destroy(string $id): bool { return $this->ask('DELETE', $id, [204])[0] === 204; }

    private function lifetime(): string { return 'TTL: ' . ini_get('session.gc_maxlifetime'); }

    private function lock(string $id): void
    {
        $until = hrtime(true) + $this->waitSeconds * 1_000_000_000;
        [$pause, $longest] = self::PAUSES_US;
        while ($this->locked !== $id) {
            // Asked for again and again, but never read: where reads renew what they find, a dead owner's lock would stay.
            $headers = ['If-None-Match: *', "TTL: $this->lockSeconds"];
            [$status, , $tag] = $this->ask('POST', "$id:lock", [201, 412], $headers, '1');
            if ($status === 201) {
                [$this->locked, $this->lockTag] = [$id, $tag];
                return;
            }
            if (hrtime(true) > $until) { $this->fail("another request has had this session for $this->waitSeconds s"); }
            usleep($pause);
            $pause = min(2 * $pause, $longest);
        }
    }

    private function unlock(): bool
    {
        [$id, $this->locked] = [$this->locked, null];
        if ($id !== null) { $this->send('DELETE', "$id:lock", ["If-Match: $this->lockTag"], null); } // or it ends by itself
        return true;
    }

    /** PHP does not call close() after an exception. */
    private function fail(string $why): never
    {
        $this->unlock();
        throw new RuntimeException("Sessile: $why");
    }

    private function ask(string $method, string $key, array $expected, array $headers = [], ?string $body = null): array
    {
        $answer = $this->send($method, $key, $headers, $body);
        return in_array($answer[0], $expected, true) ? $answer : $this->fail("$method: " . ($answer[0] ?: $answer[1]));
    }

    /** Status, body and entity tag; 0 and the reason if there was no answer. */
    private function send(string $method, string $key, array $headers, ?string $body): array
    {
        $tag = '';
        array_push($headers, 'Content-Type: application/octet-stream', 'Expect:');
        if ($this->token !== null) { $headers[] = "Authorization: Bearer $this->token"; }
        curl_reset($this->curl); // of its settings; the connection stays
        curl_setopt_array($this->curl, [
            CURLOPT_URL => $this->url . rawurlencode($this->prefix . $key), CURLOPT_PROXY => '',
            CURLOPT_CUSTOMREQUEST => $method, CURLOPT_HTTPHEADER => $headers, CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT_MS => (int) ($this->timeout * 1000), CURLOPT_UNIX_SOCKET_PATH => $this->socket,
            CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$tag): int {
                if (stripos($line, 'etag:') === 0) { $tag = trim(substr($line, 5)); }
                return strlen($line);
            },
        ] + ($body === null ? [] : [CURLOPT_POSTFIELDS => $body]));
        $answer = curl_exec($this->curl);
        if ($answer === false) { return [0, curl_error($this->curl), '']; }
        return [curl_getinfo($this->curl, CURLINFO_RESPONSE_CODE), $answer, $tag];
    }
}
