import { countCrossings } from "./census.mjs";

countCrossings();
