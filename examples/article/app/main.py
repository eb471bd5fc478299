"""Almanac: tells how many days of the year have passed."""

from datetime import date

from flask import Flask, jsonify

server = Flask(__name__)


@server.get("/today")
def today():
    day = date.today()
    return jsonify(date=day.isoformat(), day_of_year=day.timetuple().tm_yday)


if __name__ == "__main__":
    server.run(host="0.0.0.0", port=8000)
