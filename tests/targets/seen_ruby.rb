# Says what a Ruby program can see of the runtime's own classes and of itself, after work that the agent's adapter follows.

require "socket"
require "objspace"
require "timeout"

FOLLOWED = {
  Thread::Queue => %i[push << enq pop shift deq length], Thread::SizedQueue => %i[push << enq pop shift deq length],
  Thread => %i[initialize], Fiber => %i[initialize], Array => %i[shift], Thread::Mutex => %i[lock try_lock synchronize],
  Thread::ConditionVariable => %i[wait], Monitor => %i[enter try_enter synchronize]
}.freeze

def methods_seen
  FOLLOWED.each do |type, names|
    names.each do |name|
      method = type.instance_method(name)
      p [method, method.arity, method.owner, method.source_location, method.parameters]
    end
    p type.ancestors, type.instance_variables, type.instance_methods(false).sort, type.private_instance_methods(false).sort
  end
  p Thread.method(:new), Thread.method(:start), Thread.singleton_methods.sort
end

def trace(error)
  p error.class, error.message.gsub(/0x\h+/, "0x")
  puts error.backtrace
end

def errors_seen
  [
    -> { Thread::Queue.new.pop(true) }, -> { Thread::Queue.new.close.push(1) },
    -> { Thread::SizedQueue.new(1).push(1, 2, 3, 4) },
    -> { Thread::Queue.new.push }, -> { Thread::Queue.allocate.push(1) }, -> { Thread.new }, -> { Fiber.new },
    -> { Thread::Mutex.new.tap(&:lock).lock }, -> { [].freeze.shift }, -> { Thread::SizedQueue.new(0) },
    -> { Timeout.timeout(0.01) { Thread::Queue.new.pop } }, -> { Thread.start }, -> { Thread::Queue.new(5) }
  ].each do |call|
    call.call
  rescue Exception => error
    trace(error)
  end
end

def queues_seen
  queue = Thread::Queue.new([1, 2])
  100.times { |number| queue << number }
  p queue.length, queue.pop, queue.shift, queue.deq, queue.instance_variables, queue.num_waiting
  queue.clear
  p queue.empty?, queue.push(:last).equal?(queue), queue.close.pop, queue.pop
  sized = Thread::SizedQueue.new(2)
  taker = Thread.new { 50.times.map { sized.pop } }
  50.times { |number| sized << number }
  p taker.value, sized.max, taker.instance_variables, taker.keys, taker.thread_variables
end

def fibers_seen
  fiber = Fiber.new { |given| Fiber.yield(given + 1) && [1, 2].each.next }
  p fiber.resume(1), fiber.resume(true), fiber.alive?, fiber.instance_variables
  p %w[a b].each_with_index.next, Thread.new { Fiber.new { :inside }.resume }.value
end

def interrupts_seen
  waiting = Thread.new { Thread::Queue.new.pop }
  Thread.pass until waiting.stop?
  puts waiting.backtrace
  waiting.raise(IOError, "stop")
  waiting.report_on_exception = false
  trace((waiting.join rescue $!))
end

TCPServer.new("127.0.0.1", 0).close
methods_seen
errors_seen
queues_seen
fibers_seen
interrupts_seen
GC.compact if GC.respond_to?(:compact)
queues_seen
p $LOADED_FEATURES.grep_v(%r{/enc/}).size, ENV.to_h, ARGV, $0, $!
p Object.constants.size, Symbol.all_symbols.grep(/trace|binder/).size
p ObjectSpace.each_object(Module).select { |each| each.name.nil? && !each.singleton_class? }.size
p fork { queues_seen }.positive?, Process.wait.positive?, $?.exitstatus
