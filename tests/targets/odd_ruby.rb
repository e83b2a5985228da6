# Answers GET /work?id=N&shape=S by calls to a back that are made in ways which don't tell for whom: each shape is another trap
# for who guesses. Usage: ruby odd_ruby.rb PORT; BACK in the environment is the back's port.

require_relative "shapes_ruby"

module Shapes
  # once: connections in a queue that nobody has to wait for; a thread of "limited" gets what another one has put there.
  CONNECTIONS = Thread::Queue.new

  def self.borrowed(query)
    connection = CONNECTIONS.empty? ? self.connection : CONNECTIONS.pop
    call_by(connection, query)
    CONNECTIONS << connection
  end

  # An array, a mutex and a condition variable; `grows`: its threads are made by whoever has work when all are busy.
  class Pool
    def initialize(size, grows:, way:)
      @jobs, @size, @way = [], size, way
      @mutex, @filled = Mutex.new, ConditionVariable.new
      @made = @idle = 0
      size.times { make } unless grows
    end

    def submit(query)
      done = Thread::Queue.new
      @mutex.synchronize do
        @jobs << [query, done]
        make if @made < @size && @idle < @jobs.size
        @filled.signal
      end
      done
    end

    def make
      @made += 1
      Thread.new { loop { work(take) } }
    end

    def take
      @mutex.synchronize do
        while @jobs.empty?
          @idle += 1
          @filled.wait(@mutex)
          @idle -= 1
        end
        @jobs.shift
      end
    end

    def work(job)
      Shapes.send(@way, job[0])
      job[1] << true
    end
  end

  # Takes what there is at once, and works it off after that.
  class Batches
    def initialize
      @jobs = Thread::Queue.new
      2.times { Thread.new { loop { work } } }
    end

    def submit(query)
      done = Thread::Queue.new
      @jobs << [query, done]
      done
    end

    def work
      batch = [@jobs.pop]
      batch << @jobs.pop until batch.size == 4 || @jobs.empty?
      batch.each { |query, _| Shapes.call(query) }
      batch.each { |_, done| done << true }
    end
  end

  # A thread that a request starts, if there is none, and that works off what others have left in an array, without a lock.
  class Drain
    def initialize
      @jobs, @running = [], false
    end

    def submit(query)
      done = Thread::Queue.new
      @jobs << [query, done]
      start unless @running
      done
    end

    def start
      @running = true
      Thread.new do
        while (job = @jobs.shift)
          Shapes.call(job[0])
          job[1] << true
        end
        @running = false
        start unless @jobs.empty? || @running
      end
    end
  end

  # Puts each job back once, behind all others, before it does it.
  class Again
    def initialize
      @jobs = Thread::Queue.new
      4.times { Thread.new { loop { work(*@jobs.pop) } } }
    end

    def submit(query)
      done = Thread::Queue.new
      @jobs << [query, done, 0]
      done
    end

    def work(query, done, times)
      return @jobs << [query, done, times + 1] if times.zero?

      Shapes.call(query)
      done << true
    end
  end

  # One block for all jobs, which finds what it has to do elsewhere.
  class Same
    def initialize
      require "concurrent"
      @pool = Concurrent::FixedThreadPool.new(4)
      @jobs = Thread::Queue.new
      @task = lambda do
        query, done = @jobs.pop
        Shapes.call(query)
        done << true
      end
    end

    def submit(query)
      done = Thread::Queue.new
      @jobs << [query, done]
      @pool.post(&@task)
      done
    end
  end

  # Two queues, and threads that take from both in turn.
  class Alternating
    def initialize
      @queues = [Thread::Queue.new, Thread::SizedQueue.new(100)]
      4.times do
        Thread.new do
          loop do
            @queues.each do |queue|
              query, done = queue.pop(true)
              Shapes.call(query)
              done << true
            rescue ThreadError
              sleep(0.001)
            end
          end
        end
      end
    end

    def submit(query)
      done = Thread::Queue.new
      @queues[query.hash % 2] << [query, done]
      done
    end
  end

  # Threads for one thing each that outlive the request which made them.
  class Late
    def submit(query)
      Thread.new { sleep(0.003) && Shapes.call(query) }
    end
  end

  ODD = {
    "sleep" => Batches.new, "io" => Pool.new(6, grows: true, way: :call), "fan" => Drain.new, "nested" => Again.new,
    "limited" => Pool.new(4, grows: false, way: :borrowed), "pool" => Same.new, "forget" => Late.new,
    "once" => Alternating.new
  }

  def self.work(query)
    shape = query[/shape=(\w+)/, 1]
    return borrowed(query) if shape == "once" && query.hash % 3 == 0

    (CALLS[shape] || 1).times.map { ODD[shape].submit(query) }.each { |done| done.pop if done.is_a?(Thread::Queue) }
  end

  CALLS = { "fan" => 3, "nested" => 2 }
end

serve_threads(Integer(ARGV[0]))
