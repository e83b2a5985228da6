# Front: a Rack application for puma, whose reactor reads requests that other threads answer; BACK_PORT names its back.

require "net/http"

run lambda { |env|
  answer = Net::HTTP.get_response(URI("http://127.0.0.1:#{ENV.fetch("BACK_PORT")}/leaf?#{env["QUERY_STRING"]}"))
  [answer.code.to_i, { "Content-Type" => "application/json" }, [answer.body]]
}
