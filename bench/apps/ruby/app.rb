# Front: a Rack application for puma, calling with Net::HTTP; BACK_PORT names its back.
require "net/http"

MILLISECOND = 37_000 # rounds of the loop that take about 1 ms of CPU time: see bench/apps.py

def spin(rounds)
  value = 1
  rounds.times { value = (value * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF }
  value
end

class Front
  # path: what is asked of the back, and rounds of the loop before
  PATHS = {
    "/work" => ["/leaf", 0],
    "/cpu" => ["/leaf", MILLISECOND],
    "/io" => ["/wait", 0],
    "/mixed" => ["/wait", MILLISECOND / 2]
  }.freeze

  def initialize(back)
    @back = back
  end

  def call(env)
    return answer(200, "text/plain", "hello") if env["PATH_INFO"] == "/hello"

    path, rounds = PATHS[env["PATH_INFO"]]
    return answer(404, "text/plain", "") unless path

    spin(rounds)
    said = connection.get("#{path}?#{env["QUERY_STRING"]}")
    answer(said.code.to_i, "application/json", said.body)
  end

  private

  # Each thread keeps its own.
  def connection
    Thread.current[:back] ||= Net::HTTP.start("127.0.0.1", @back, read_timeout: 20).tap { |http| http.keep_alive_timeout = 75 }
  end

  def answer(status, type, body)
    [status, { "content-type" => type, "content-length" => body.bytesize.to_s }, [body]]
  end
end
