# The shapes of shapes_ruby.rb as a Rack application, for puma, whose reactor reads requests that other threads answer.

require_relative "shapes_ruby"

# In a cluster each process needs workers of its own, made when it has begun.
start = Mutex.new
started = false

run lambda { |env|
  start.synchronize { started ||= Shapes.start || true }
  Shapes.work(env["QUERY_STRING"])
  [200, { "Content-Type" => "text/plain", "Content-Length" => "4" }, ["done"]]
}
