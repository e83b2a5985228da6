# Answers GET /work?id=N&shape=S by calls to a back, in the shapes of tests/attribution/rows.py, all on one thread: a fiber serves
# each connection (async-http). Usage: ruby shapes_async.rb PORT; BACK in the environment is the back's port.

require "async"
require "async/http"
require "async/queue"
require "async/semaphore"

BACK = "http://127.0.0.1:#{ENV.fetch("BACK")}"

class Shapes
  def initialize
    @client = Async::HTTP::Client.new(Async::HTTP::Endpoint.parse(BACK))
    @limited = Async::HTTP::Client.new(Async::HTTP::Endpoint.parse(BACK), connection_limit: 3)
    @jobs = Async::Queue.new
  end

  def start
    8.times do
      Async { while (job = @jobs.dequeue) do call(job[0]) && job[1].signal end }
    end
  end

  def call(path, client = @client)
    client.get(path).read
  end

  def work(shape, path)
    case shape
    when "once" then call(path)
    when "sleep" then [Async::Task.current.sleep(0.002), call(path)]
    when "io" then File.read(__FILE__) && call(path)
    when "fan" then 3.times.map { Async { call(path) } }.each(&:wait)
    when "nested" then 2.times { call(path) }
    when "limited" then call(path, @limited)
    when "forget" then Async { call(path) }
    when "pool" then ask(path)
    end
  end

  def ask(path)
    done = Async::Condition.new
    @jobs.enqueue([path, done])
    done.wait
  end
end

Async do
  shapes = Shapes.new
  shapes.start
  endpoint = Async::HTTP::Endpoint.parse("http://127.0.0.1:#{ARGV[0]}")
  Async::HTTP::Server.for(endpoint) do |request|
    query = request.path[/\?(.*)/, 1]
    shapes.work(query[/shape=(\w+)/, 1], "/leaf?#{query}")
    Protocol::HTTP::Response[200, {}, ["done"]]
  end.run
end
