<?php
// The application of the story, on PHP's sessions.
require getenv('CLIENTS') . '/SessileSessionHandler.php';

ini_set('session.use_strict_mode', '1');
ini_set('session.gc_maxlifetime', getenv('LIFETIME'));
session_set_save_handler(new SessileSessionHandler(
    getenv('STORE'), getenv('TOKEN') ?: null, lockSeconds: (int) (getenv('LOCK_SECONDS') ?: 30),
), true);
session_start();

switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/me':
        break;
    case '/login':
        session_regenerate_id(true);
        $_SESSION['user'] = 'Ada';
        break;
    case '/logout':
        session_destroy();
        $_SESSION = [];
        break;
    case '/hold':
        $run = getenv('RUN');
        touch("$run/held");
        for ($end = microtime(true) + 20; !file_exists("$run/go") && microtime(true) < $end; ) { usleep(10_000); }
        // And then what a visit does.
    case '/visit':
        $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
        break;
}
$answer = ($_SESSION['user'] ?? 'nobody') . ' ' . ($_SESSION['visits'] ?? 0);
session_write_close();
echo $answer;
