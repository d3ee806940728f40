// Reads lines of base64, answers each with what dotenv makes of the bytes, as JSON.
import { createInterface } from 'node:readline'
import dotenv from 'dotenv'

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(dotenv.parse(Buffer.from(line, 'base64'))))
}
