// Signs and verifies by the reference library: one line of JSON in, one out.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, id, timestamp, body, headers } = JSON.parse(line);
  const webhook = new Webhook(secret);
  let answer;
  if (headers) {
    try {
      webhook.verify(body, headers);
      answer = "verified";
    } catch (error) {
      answer = `refused: ${error.message}`;
    }
  } else {
    answer = webhook.sign(id, new Date(timestamp * 1000), body);
  }
  console.log(JSON.stringify(answer));
}
