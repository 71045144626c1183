import { logIn } from "../../api/session.ts";

const ATTEMPTS = 20;
const DELAY_MS = 250;

/**
 * Logs the page in with the first key. The server requires keys within a second after it was created, and has nothing to log
 * in to before. Without a log-in, the page would be replaced by the form for it, while it shows the key.
 */
export async function logInWithFirstKey(text: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await logIn(text);
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await new Promise((done) => setTimeout(done, DELAY_MS));
    }
  }
}
