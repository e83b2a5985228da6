require_relative "app"

run Front.new(Integer(ENV.fetch("BACK_PORT")))
