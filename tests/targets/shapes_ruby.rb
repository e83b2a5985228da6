# Answers GET /work?id=N&shape=S by calls to a back, in the shapes of tests/attribution/rows.py, a thread for each request.
#
# Usage: ruby shapes_ruby.rb PORT webrick|threads|accepted. Puma loads shapes_ruby.ru instead. In the environment: BACK is
# the back's port, CLIENT what makes the calls (kept, new, excon, http, httpclient), WORKERS who makes those of others' threads
# (queue, sized, concurrent).

require "net/http"
require "socket"

module Shapes
  BACK = Integer(ENV.fetch("BACK"))

  # -- clients: each has an object for a connection, or for nothing, and makes a call with it

  def self.connection
    case ENV.fetch("CLIENT", "kept")
    when "kept" then Net::HTTP.start("127.0.0.1", BACK)
    when "excon" then Excon.new("http://127.0.0.1:#{BACK}", persistent: true)
    when "http" then HTTP.persistent("http://127.0.0.1:#{BACK}")
    when "httpclient" then HTTPClient.new
    end
  end

  def self.call_by(connection, query)
    path = "/leaf?#{query}"
    case ENV.fetch("CLIENT", "kept")
    when "kept" then connection.get(path).body
    when "new" then Net::HTTP.get(URI("http://127.0.0.1:#{BACK}#{path}"))
    when "excon" then connection.get(path: "/leaf", query: query).body
    when "http" then connection.get(path).to_s
    when "httpclient" then connection.get_content("http://127.0.0.1:#{BACK}#{path}")
    end
  end

  def self.call(query)
    call_by(Thread.current.thread_variable_get(:connection) || remember(connection), query)
  end

  def self.remember(connection)
    Thread.current.thread_variable_set(:connection, connection)
    connection
  end

  # Three connections, made when they are needed, in a queue to which they are put back.
  LIMIT = Thread::Queue.new
  3.times { LIMIT << nil }

  def self.limited(query)
    connection = LIMIT.pop
    begin
      connection ||= self.connection
      call_by(connection, query)
    ensure
      LIMIT << connection
    end
  end

  # -- workers

  # Started at boot; each takes jobs, and says when one is done.
  class Workers
    def initialize(jobs)
      @jobs = jobs
      8.times { Thread.new { work } }
    end

    def work
      loop do
        query, done = @jobs.pop
        Shapes.call(query)
        done << true
      end
    end

    def submit(query)
      done = Thread::Queue.new
      @jobs << [query, done]
      done
    end

    def run(query)
      submit(query).pop
    end

    def fan(query)
      3.times.map { Thread.new { Shapes.call(query) } }.each(&:join)
    end
  end

  # The pools grow as they are used.
  class ConcurrentWorkers
    def initialize
      require "concurrent"
      @pool = Concurrent::ThreadPoolExecutor.new(min_threads: 1, max_threads: 8, max_queue: 0)
    end

    def submit(query)
      @pool.post { Shapes.call(query) }
    end

    def run(query)
      Concurrent::Future.execute(executor: @pool) { Shapes.call(query) }.value!
    end

    def fan(query)
      Concurrent::Promises.zip(*3.times.map { Concurrent::Promises.future { Shapes.call(query) } }).value!
    end
  end

  def self.workers
    case ENV.fetch("WORKERS", "queue")
    when "queue" then Workers.new(Thread::Queue.new)
    when "sized" then Workers.new(Thread::SizedQueue.new(4))
    else ConcurrentWorkers.new
    end
  end

  def self.start
    require ENV["CLIENT"] if %w[excon http httpclient].include?(ENV["CLIENT"])
    @workers = workers
  end

  def self.work(query)
    case query[/shape=(\w+)/, 1]
    when "once" then call(query)
    when "sleep" then sleep(0.002) && call(query)
    when "io" then File.read(__FILE__) && call(query)
    when "fan" then @workers.fan(query)
    when "nested" then 2.times { call(query) }
    when "limited" then limited(query)
    when "forget" then @workers.submit(query)
    when "pool" then @workers.run(query)
    end
  end
end

# -- servers

def serve_webrick(port)
  require "webrick"
  quiet = WEBrick::Log.new(File::NULL)
  server = WEBrick::HTTPServer.new(
    BindAddress: "127.0.0.1", Port: port, Logger: quiet, AccessLog: [],
    RequestCallback: ->(_, answer) { answer.keep_alive = true }
  )
  server.mount_proc("/work") do |request, answer|
    Shapes.work(request.query_string)
    answer.body = "done"
  end
  trap("TERM") { server.shutdown }
  server.start
end

def serve_connection(connection)
  while (line = connection.gets)
    nil until connection.gets.chomp.empty?
    Shapes.work(line[/\?(\S*)/, 1])
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
  end
ensure
  connection.close
end

def serve_threads(port)
  server = TCPServer.new("127.0.0.1", port)
  loop { Thread.new(server.accept) { |connection| serve_connection(connection) } }
end

# As many threads as there may be connections, started at boot; they get connections by a queue.
def serve_accepted(port)
  server = TCPServer.new("127.0.0.1", port)
  accepted = Thread::Queue.new
  96.times { Thread.new { loop { serve_connection(accepted.pop) } } }
  loop { accepted << server.accept }
end

if $PROGRAM_NAME == __FILE__
  Shapes.start
  send("serve_#{ARGV[1]}", Integer(ARGV[0]))
end
