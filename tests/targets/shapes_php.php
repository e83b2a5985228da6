<?php
// Front: what PHP's servers run for a request. Usage: BACK=PORT CLIENT=curl|streams, in any of its servers.

$client = getenv('CLIENT');
$shape = $_GET['shape'];
$path = "/leaf?id={$_GET['id']}&shape=$shape";

function by_curl(string $path): void
{
    static $handle = null;
    $handle ??= curl_init();
    curl_setopt_array($handle, [CURLOPT_URL => 'http://127.0.0.1:' . getenv('BACK') . $path, CURLOPT_RETURNTRANSFER => true]);
    if (curl_exec($handle) === false) {
        throw new Exception(curl_error($handle));
    }
}

function by_streams(string $path): void
{
    if (file_get_contents('http://127.0.0.1:' . getenv('BACK') . $path) === false) {
        throw new Exception('no answer');
    }
}

function by_curl_at_once(string $path): void
{
    $all = curl_multi_init();
    $handles = [];
    for ($count = 0; $count < 3; $count++) {
        $handles[] = $handle = curl_init('http://127.0.0.1:' . getenv('BACK') . $path);
        curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
        curl_multi_add_handle($all, $handle);
    }
    do {
        $status = curl_multi_exec($all, $running);
        if ($running) {
            curl_multi_select($all);
        }
    } while ($running && $status === CURLM_OK);
    foreach ($handles as $handle) {
        curl_multi_remove_handle($all, $handle);
    }
}

function by_sockets_at_once(string $path): void
{
    $sockets = [];
    for ($count = 0; $count < 3; $count++) {
        $sockets[] = stream_socket_client('tcp://127.0.0.1:' . getenv('BACK'));
    }
    foreach ($sockets as $socket) {
        fwrite($socket, "GET $path HTTP/1.1\r\nHost: back\r\n\r\n");
    }
    foreach (array_reverse($sockets) as $socket) {
        for ($size = 0; ($line = fgets($socket)) !== "\r\n";) {
            $size = stripos($line, 'Content-Length:') === 0 ? (int) substr($line, 15) : $size;
        }
        stream_get_contents($socket, $size);
        fclose($socket);
    }
}

$call = $client === 'curl' ? 'by_curl' : 'by_streams';
$fan = $client === 'curl' ? 'by_curl_at_once' : 'by_sockets_at_once';

header('Content-Length: 4');
if ($shape === 'forget') { // the answer first, then the call
    echo 'done';
    while (ob_get_level()) {
        ob_end_flush();
    }
    flush();
    $call($path);
    return;
}
switch ($shape) {
    case 'sleep':
        usleep(random_int(0, 8000));
        break;
    case 'io':
        file_get_contents(__FILE__);
        break;
    case 'fan':
        $fan($path);
        break;
    case 'nested':
        $call($path);
        break;
}
if ($shape !== 'fan') {
    $call($path);
}
echo 'done';
