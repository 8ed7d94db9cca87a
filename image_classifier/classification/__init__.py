"""What pictures show, by a frozen graph; public: inference.Classifier."""
