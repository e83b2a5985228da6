<?php
// Front: PHP's built-in server, calling with file_get_contents. Usage: BACK_PORT=N php -S 127.0.0.1:PORT front.php.

$url = 'http://127.0.0.1:' . getenv('BACK_PORT') . '/leaf?' . $_SERVER['QUERY_STRING'];
$body = file_get_contents($url);
if ($body === false) {
    http_response_code(502);
    return;
}
header('Content-Type: application/json');
header('Content-Length: ' . strlen($body));
echo $body;
