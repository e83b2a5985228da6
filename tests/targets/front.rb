# Front: WEBrick with a thread per connection, calling with net/http. Usage: ruby front.rb PORT BACKPORT.

require "net/http"
require "webrick"

port, back_port = ARGV.map(&:to_i)
quiet = WEBrick::Log.new(File::NULL)
server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: port, Logger: quiet, AccessLog: [])

server.mount_proc("/work") do |request, response|
  answer = Net::HTTP.get_response(URI("http://127.0.0.1:#{back_port}/leaf?#{request.query_string}"))
  response.status = answer.code.to_i
  response.content_type = "application/json"
  response.body = answer.body
end

trap("TERM") { server.shutdown }
server.start
